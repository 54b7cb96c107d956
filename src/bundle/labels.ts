/** The labels of PEM blocks (RFC 7468, section 4, and OpenSSL's pem.h). */
import { parameters, publicKey, request, revocations, type Content } from './contents.ts';

const certificateLabels = new Set(['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE']);
const pkcs7Labels = new Set(['PKCS7', 'PKCS #7 SIGNED DATA', 'CMS']);

export const isCertificateLabel = (label: string): boolean => certificateLabels.has(label);
export const isPkcs7Label = (label: string): boolean => pkcs7Labels.has(label);
export const isParameterLabel = (label: string): boolean => label.endsWith(' PARAMETERS');

/** What a block is that bears another label than those of certificates and PKCS#7. */
export function describeLabel(label: string): Content {
  if (label.endsWith('CERTIFICATE REQUEST')) return request;
  if (label.endsWith('CRL')) return revocations;
  if (label.endsWith('PUBLIC KEY')) return publicKey;
  if (isParameterLabel(label)) return parameters;
  return { kind: 'other', name: `a PEM block "${label}"`, advice: "put in the CA's certificate" };
}
