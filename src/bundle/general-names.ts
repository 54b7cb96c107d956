/**
 * The kinds of names in a certificate (GeneralName; RFC 5280, 4.2.1.6). Go demands something of four of them (crypto/x509,
 * parseSANExtension), GnuTLS that each is of a kind it knows, and not empty.
 */
import { attempt, constructed, primitive, Reader, tags } from './der.ts';
import { isUri } from './uri.ts';

/** What follows from a certificate that Go and OpenSSL take and GnuTLS does not. */
export const unknownToGnuTls = 'GnuTLS (apt, git) cannot read it and would then load no CA of the host';

/** By the tag of a name: what is demanded of it, and what is said when it does not hold. */
type NameRules = Readonly<Record<number, readonly [(name: string) => boolean, string]>>;

/**
 * A reader of one name, which says whether Go looks into names of its kind.
 * @param others what is said of a name that no rule is for; undefined where it may be anything
 */
export function namesBy(rules: NameRules, others?: string): (names: Reader) => boolean {
  return (names) => {
    const { tag, value } = names.any();
    const [isValid, problem] = rules[tag] ?? [() => others === undefined, others];
    return isValid(value) ? kindsOfGo.has(tag) : names.fail(problem);
  };
}

/** Mail, domain, URI and address. */
const kindsOfGo = new Set([1, 2, 6, 7].map(primitive));

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);
const isThere = (text: string): boolean => text !== '';

/** otherName: its type, and a value of any kind. */
const isOther = (octets: string): boolean => {
  const name = new Reader(octets, '');
  return attempt(() => [name.oid(), name.enter(constructed(0)).any()]) !== undefined && name.empty;
};

function readDirectory(name: Reader): boolean {
  for (const set of name.enter(tags.sequence).all(tags.set)) {
    if (set.empty) set.fail();
    for (const attribute of set.all(tags.sequence)) {
      attribute.oid();
      attribute.any();
      if (!attribute.empty) set.fail();
    }
  }
  return name.empty;
}

/** directoryName: the outline of a Name, whatever its values are. */
const isDirectory = (octets: string): boolean => attempt(() => readDirectory(new Reader(octets, ''))) === true;

/** registeredID. */
const isOid = (octets: string): boolean => /[\0-\x7f]$/.test(octets);

const known: NameRules = {
  [constructed(0)]: [isOther, unknownToGnuTls],
  [primitive(1)]: [isThere, unknownToGnuTls],
  [primitive(2)]: [isThere, unknownToGnuTls],
  [constructed(4)]: [isDirectory, unknownToGnuTls],
  [primitive(6)]: [isThere, unknownToGnuTls],
  [primitive(7)]: [isThere, unknownToGnuTls],
  [primitive(8)]: [isOid, unknownToGnuTls],
};

/** A name in an issuerAltName, into which Go does not look. */
export const checkNameOfIssuer = namesBy(known, unknownToGnuTls);

/** A name in a subjectAltName. */
export const checkName = namesBy(
  {
    ...known,
    [primitive(1)]: [(name) => isThere(name) && isAscii(name), 'a name is empty or not ASCII'],
    [primitive(2)]: [(name) => isThere(name) && isAscii(name), 'a name is empty or not ASCII'],
    [primitive(6)]: [(name) => isThere(name) && isUri(name), 'an invalid URI'],
    [primitive(7)]: [({ length }) => length === 4 || length === 16, 'an invalid IP address'],
  },
  unknownToGnuTls,
);
