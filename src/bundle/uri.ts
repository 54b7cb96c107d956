/**
 * What Go accepts as a name inside a certificate: URIs (net/url.Parse), domains and mailboxes (crypto/x509). A CA whose
 * names Go cannot parse is skipped by every Go program without a word, so it is refused here with one.
 */
import { isIP, isIPv6 } from 'node:net';

/** The octets that may stand for themselves, by the part of the URI they are in (net/url, encoding_table.go). */

const hostOctets = /^[A-Za-z0-9\-._~!"$&'()*+,;=:<>[\]\x80-\xff%]*$/;
const userOctets = /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/;

const escapesAreWhole = (text: string): boolean => !/%(?![0-9A-Fa-f]{2})/.test(text);

/** In a host only "%25" and octets outside ASCII may be escaped. */
const hostEscapes = (text: string): boolean =>
  escapesAreWhole(text) && hostOctets.test(text) && !/%(?!25)[0-7]/.test(text);

const unescape = (text: string): string =>
  text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** The zone of an IPv6 address may escape what a host may hold, blanks and the percent sign (RFC 6874). */
const zoneEscapes = (text: string): boolean =>
  escapesAreWhole(text) &&
  hostOctets.test(text) &&
  [...text.matchAll(/%([0-9A-Fa-f]{2})/g)].every(
    ([escape]) => escape === '%25' || escape === '%20' || hostOctets.test(unescape(escape)),
  );

const portOrNothing = /^(?::[0-9]*)?$/;

/** An address in brackets, with or without a zone and a port, or undefined. */
function bracketedHost(host: string): string | undefined {
  const close = host.lastIndexOf(']');
  if (close < 0 || !portOrNothing.test(host.slice(close + 1))) return undefined;
  const inside = host.slice(1, close);
  const zoneAt = inside.includes('%25') ? inside.indexOf('%25') : inside.length;
  if (!hostEscapes(inside.slice(0, zoneAt)) || !zoneEscapes(inside.slice(zoneAt))) return undefined;
  const address = unescape(inside);
  return isIPv6(address) && !address.endsWith('%') ? `[${address}]${host.slice(close + 1)}` : undefined;
}

/** net/url's parseHost. */
function parseHost(scheme: string, host: string): string | undefined {
  const open = host.lastIndexOf('[');
  if (open > 0) return undefined;
  if (open === 0) return bracketedHost(host);
  // Web addresses have one colon, before the port; the hosts of other schemes may hold more.
  const colon = /^https?$/i.test(scheme) ? host.indexOf(':') : host.lastIndexOf(':');
  if (colon >= 0 && !portOrNothing.test(host.slice(colon))) return undefined;
  return hostEscapes(host) ? unescape(host) : undefined;
}

/** net/url's parseAuthority: the host after the last "@". */
function parseAuthority(scheme: string, authority: string): string | undefined {
  const at = authority.lastIndexOf('@');
  const host = parseHost(scheme, authority.slice(at + 1));
  const user = at < 0 ? '' : authority.slice(0, at);
  return userOctets.test(user) && escapesAreWhole(user) ? host : undefined;
}

/** What stands before the first colon if that is a scheme, else nothing; undefined for a URI that begins with a colon. */
function schemeOf(uri: string): string | undefined {
  if (uri.startsWith(':')) return undefined;
  return /^([A-Za-z][A-Za-z0-9+\-.]*):/.exec(uri)?.[1] ?? '';
}

/** The host of the part of a URI after its scheme and before its query, or undefined where Go refuses it. */
function hostOf(scheme: string, rest: string): string | undefined {
  if (!rest.startsWith('/') && scheme !== '') return '';
  // A relative reference must not look like one with a scheme.
  if (!escapesAreWhole(rest) || /^[^/]*:/.test(rest)) return undefined;
  if (!rest.startsWith('//') || (scheme === '' && rest.startsWith('///'))) return '';
  return parseAuthority(scheme, rest.slice(2).split('/', 1)[0] ?? '');
}

/** Whether Go accepts the URI in a subjectAltName: url.Parse takes it, and its host is a domain or empty. */
export function isGoUri(text: string): boolean {
  const hash = text.indexOf('#');
  const uri = hash < 0 ? text : text.slice(0, hash);
  const fragment = hash < 0 ? '' : text.slice(hash);
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\0-\x1f\x7f]/.test(uri) || !escapesAreWhole(fragment)) return false;
  if (uri === '*') return true;
  const scheme = schemeOf(uri);
  if (scheme === undefined) return false;
  const rest = (scheme === '' ? uri : uri.slice(scheme.length + 1)).split('?', 1)[0] ?? '';
  const host = hostOf(scheme, rest);
  return host !== undefined && isGoDomain(host, false);
}

/** crypto/x509's domainNameValid: no blanks, no final dot, no empty label; a constraint may begin with a dot. */
export function isGoDomain(domain: string, isConstraint: boolean): boolean {
  if (domain === '') return true;
  const name = isConstraint && domain.startsWith('.') ? domain.slice(1) : domain;
  return /^[!-~]+$/.test(name) && !name.endsWith('.') && !name.startsWith('.') && !name.includes('..');
}

/** A name constraint on URIs: a domain, never an address. */
export function isGoUriConstraint(domain: string): boolean {
  // Node takes an address with a zone, Go's net.ParseIP does not.
  return (isIP(domain) === 0 || domain.includes('%')) && isGoDomain(domain, true);
}

/** A name constraint on mail: a mailbox (RFC 5321, 4.1.2, as Go's parseRFC2821Mailbox reads it), or a domain. */
export function isGoMailConstraint(constraint: string): boolean {
  return constraint.includes('@') ? isMailbox(constraint) : isGoDomain(constraint, true);
}

// eslint-disable-next-line no-control-regex -- quoted local parts may hold them
const quotedLocal = /^"(?:[\x01-\x08\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*"@/;
const plainLocal = /^((?:[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]|\\[^])+)@/;

function isMailbox(text: string): boolean {
  const match = (text.startsWith('"') ? quotedLocal : plainLocal).exec(text);
  if (match === null || !isGoDomain(text.slice(match[0].length), false)) return false;
  const local = (match[1] ?? 'quoted').replace(/\\([^])/g, '$1');
  return !local.startsWith('.') && !local.endsWith('.') && !local.includes('..');
}
