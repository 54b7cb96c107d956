/**
 * The names in a certificate that Go parses: URIs (net/url.Parse), domains and mailboxes (crypto/x509). A CA whose names
 * Go cannot parse is skipped by every Go program without a word, so it is refused here with one. Where Go lets rubbish
 * pass, a name must be printable here.
 */
import { isIP, isIPv6 } from 'node:net';

/** No blanks, no final dot, no empty label; a constraint may begin with a dot (domainNameValid). */
const labels = /[!-\-/-~]+(?:\.[!-\-/-~]+)*/.source;
const domain = new RegExp(`^(?:${labels})?$`);
const domainConstraint = new RegExp(`^(?:\\.?${labels})?$`);

/** RFC 5321, 4.1.2, as parseRFC2821Mailbox reads it: a quoted string or words with dots between, and a domain. */
const quoted = /"(?:[ !#-[\]-~]|\\[ -~])*"/.source;
const word = /(?:[\w!#$%&'*+\-/=?^`{|}~]|\\[ -\-/-~])+/.source;
const mailbox = new RegExp(`^(?:${quoted}|${word}(?:\\.${word})*)@(?:${labels})?$`);

/** Octets that stand for themselves, and escapes; which ones may, net/url's encoding_table.go says. */
const userInfo = /^(?:[\w.~!$&'()*+,;=:%-]*@)?/;
const hostName = /^(?:[\w.~!$&'()*+,;=:-]|%25)*$/;
/** RFC 6874: an IPv6 address, with or without a zone and a port. */
const bracketed = /^\[([^%\]]*)(?:%25[\w~-]+)?\](?::\d*)?$/;

function isHost(host: string, isWeb: boolean): boolean {
  if (host.startsWith('[')) return isIPv6(bracketed.exec(host)?.[1] ?? '');
  // Web addresses have one colon, before the port; the hosts of other schemes may hold more.
  const colon = isWeb ? host.indexOf(':') : host.lastIndexOf(':');
  return hostName.test(host) && domain.test(host) && (colon < 0 || /^:\d*$/.test(host.slice(colon)));
}

/** The scheme, what follows up to the query, and the rest, in which the fragment's escapes must be whole. */
const parts = /^(?:([a-z][a-z\d+.-]*):)?([ -"$->@-~]*)(?:\?[ -"$-~]*)?(?:#(?:[ -$&-~]|%[\da-f]{2})*)?$/i;

/** Whether Go accepts the URI in a subjectAltName: url.Parse takes it, and its host is a domain or empty. */
export function isUri(uri: string): boolean {
  const match = parts.exec(uri);
  const [, scheme = '', rest = ''] = match ?? [];
  if (match === null || (scheme !== '' && !rest.startsWith('/'))) return match !== null;
  // A relative reference must not look like one with a scheme.
  if (/^[^/]*:|%(?![\da-f]{2})/i.test(rest)) return false;
  const authority = /^\/\/([^/]*)/.exec(rest)?.[1] ?? '';
  return isHost(authority.replace(userInfo, ''), /^https?$/i.test(scheme));
}

export const isDomainConstraint = (text: string): boolean => domainConstraint.test(text);

/** A domain, never an address. Node takes an address with a zone for one, Go does not. */
export const isUriConstraint = (text: string): boolean =>
  (isIP(text) === 0 || text.includes('%')) && domainConstraint.test(text);

/** A mailbox, or a domain for all mailboxes in it. */
export const isMailConstraint = (text: string): boolean =>
  text.includes('@') ? mailbox.test(text) : domainConstraint.test(text);
