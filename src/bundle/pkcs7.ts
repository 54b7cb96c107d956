/**
 * The certificates inside a PKCS#7 (RFC 2315, 9.1; RFC 5652, 5.1), in DER or BER. Only node-forge's ASN.1 is used: its
 * own PKCS#7 reader fails on the whole file for one elliptic curve certificate.
 */
import asn1, { type Node } from 'node-forge/lib/asn1.js';
import { octetString, readBer } from './contents.ts';

/** 1.2.840.113549.1.7.2 */
const signedData = '\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02';

const contextClass = 0x80;
const sequence = 0x10;

const childrenOf = (node: Node | undefined): readonly Node[] =>
  node === undefined || typeof node.value === 'string' ? [] : node.value;

/** One member of the set of certificates. */
export type Member = { readonly der: Uint8Array } | { readonly problem: string };

/** A mebibyte has room for some thousand certificates; what has more entries is not a file of certificates. */
export const maxEntries = 5_000;

/** Members that do not stand in DER need a search each; a file full of them is not worth one. */
const maxProblems = 8;

/**
 * Takes the certificates out, each with its exact original octets.
 * @returns the members, or undefined when the bytes are no PKCS#7 of signed data.
 */
export function pkcs7Members(bytes: Uint8Array): Member[] | undefined {
  const [type, content] = childrenOf(readBer(bytes));
  if (type?.value !== signedData) return undefined;
  const fields = childrenOf(childrenOf(content)[0]);
  const certificates = fields.find((field) => field.tagClass === contextClass && field.type === 0);
  const whole = octetString(bytes);
  const members: Member[] = [];
  let at = 0;
  let problems = 0;
  for (const node of childrenOf(certificates)) {
    const { member, next } = readMember(whole, at, node);
    members.push(member);
    at = next;
    if ('problem' in member) problems += 1;
    if (problems >= maxProblems || members.length > maxEntries) break;
  }
  return members;
}

/** node-forge keeps a tree, not positions: the octets are encoded again and must stand in the file just so. */
function readMember(whole: string, from: number, node: Node): { readonly member: Member; readonly next: number } {
  if (node.tagClass !== 0 || node.type !== sequence) {
    return { member: { problem: 'it is an attribute certificate or of an unknown kind' }, next: from };
  }
  const octets = asn1.toDer(node).getBytes();
  const at = whole.indexOf(octets, from);
  if (at < 0) return { member: { problem: 'it is not in DER, so its signature cannot hold' }, next: from };
  return { member: { der: Buffer.from(octets, 'latin1') }, next: at + octets.length };
}
