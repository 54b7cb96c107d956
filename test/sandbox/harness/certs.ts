// Certificates of every kind, made by the real openssl. Keys touch the disk only in a temporary directory.
import { execa } from 'execa';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment } from './environment.ts';

export type KeyKind = 'p256' | 'p384' | 'rsa1024' | 'rsa2048' | 'rsa-pss' | 'ed25519';

export interface CertOptions {
  /** As openssl writes it: '/O=Example/CN=Root'. Default: a common name of its own for every certificate. */
  readonly subject?: string;
  /** Default: one day ago. */
  readonly notBefore?: Date;
  /** Default: `days` from now. */
  readonly notAfter?: Date;
  /** Default 365; not looked at when `notAfter` is given. */
  readonly days?: number;
  /** Default 'p256', the fastest. */
  readonly key?: KeyKind;
  readonly digest?: 'sha256' | 'sha384' | 'sha1' | 'md5';
  /** X.509 version 1: no extension at all. */
  readonly v1?: boolean;
  /** Default true; 'absent' leaves basicConstraints out of a version 3 certificate. */
  readonly ca?: boolean | 'absent';
  /** extendedKeyUsage, as openssl writes it; default: none. */
  readonly usage?: string;
  /** DNS names and IP addresses for subjectAltName. */
  readonly names?: readonly string[];
  /** Who signs it; default: itself. */
  readonly issuer?: Cert;
  /** Reuse this private key (PEM) instead of making one: a renewed CA. */
  readonly reuseKey?: string;
}

export interface Cert {
  readonly pem: string;
  readonly der: Buffer;
  /** The private key, PKCS#8 PEM. */
  readonly key: string;
  /** SHA-256 of the DER, lower-case hex: the identity of a certificate. */
  readonly fingerprint: string;
  /** openssl's subject hash: the name of its link in a hashed directory. */
  readonly subjectHash: string;
}

const keyArguments: Record<KeyKind, readonly string[]> = {
  p256: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  rsa1024: ['rsa', '-pkeyopt', 'rsa_keygen_bits:1024'],
  rsa2048: ['rsa', '-pkeyopt', 'rsa_keygen_bits:2048'],
  'rsa-pss': ['rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048'],
  ed25519: ['ed25519'],
};

/** `openssl ca` is the one command that takes both dates on every version in use. */
const configuration = `
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
unique_subject = no
rand_serial = yes
email_in_dn = yes
policy = any
[any]
commonName = optional
[req]
distinguished_name = empty
[empty]
`;

let made = 0;

/** Makes a certificate: by default a self-signed CA that is valid now. Throws with what openssl said. */
export async function makeCert(options: CertOptions = {}): Promise<Cert> {
  const directory = await mkdtemp(join(tmpdir(), 'certs-'));
  try {
    return await makeIn(directory, options);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Three CAs that have nothing to do with each other. */
export function makeThree(): Promise<[Cert, Cert, Cert]> {
  return Promise.all([makeCert(), makeCert(), makeCert()]);
}

/** Makes a server's certificate for DNS names and IP addresses, signed by a CA. */
export function makeServerCert(issuer: Cert, names: readonly string[], options: CertOptions = {}): Promise<Cert> {
  return makeCert({ ca: false, subject: `/CN=${names[0] ?? 'server'}`, ...options, names, issuer });
}

async function makeIn(directory: string, options: CertOptions): Promise<Cert> {
  const openssl = async (...args: string[]): Promise<string> => {
    const env = { ...cleanEnvironment, OPENSSL_CONF: join(directory, 'openssl.cnf') };
    const { stdout } = await execa('openssl', args, { cwd: directory, env, extendEnv: false });
    return stdout;
  };
  const put = (name: string, text: string): Promise<void> => writeFile(join(directory, name), text, { mode: 0o600 });
  await Promise.all([
    put('openssl.cnf', `${configuration}[extensions]\n${extensions(options).join('\n')}\n`),
    put('index.txt', ''),
    put('key.pem', options.reuseKey ?? ''),
    put('issuer.pem', options.issuer?.pem ?? ''),
    put('issuer-key.pem', options.issuer?.key ?? ''),
  ]);
  made += 1;
  const subject = options.subject ?? `/CN=Test CA ${process.pid}-${made}`;
  const keyOptions =
    options.reuseKey === undefined
      ? ['-newkey', ...keyArguments[options.key ?? 'p256'], '-nodes', '-keyout', 'key.pem']
      : ['-key', 'key.pem'];
  await openssl('req', '-new', '-utf8', ...keyOptions, '-subj', subject, '-out', 'request.pem');
  const signer =
    options.issuer === undefined
      ? ['-selfsign', '-keyfile', 'key.pem']
      : ['-cert', 'issuer.pem', '-keyfile', 'issuer-key.pem'];
  await openssl(
    ...['ca', '-batch', '-notext', '-preserveDN', '-in', 'request.pem', '-out', 'cert.pem', ...signer],
    ...['-md', digest(options), '-startdate', stamp(notBefore(options)), '-enddate', stamp(notAfter(options))],
    ...(options.v1 === true ? [] : ['-extensions', 'extensions']),
  );
  const [subjectHash, pem, privateKey] = await Promise.all([
    openssl('x509', '-in', 'cert.pem', '-noout', '-subject_hash'),
    readFile(join(directory, 'cert.pem'), 'utf8'),
    readFile(join(directory, 'key.pem'), 'utf8'),
  ]);
  const der = new X509Certificate(pem).raw;
  return {
    pem,
    der,
    key: privateKey,
    fingerprint: createHash('sha256').update(der).digest('hex'),
    subjectHash: subjectHash.trim(),
  };
}

function extensions({ ca = true, names = [], issuer, usage }: CertOptions): string[] {
  const lines = ['subjectKeyIdentifier = hash'];
  // Tells issuers with the same subject apart.
  if (issuer !== undefined) lines.push('authorityKeyIdentifier = keyid');
  if (ca !== 'absent') lines.push(`basicConstraints = critical, CA:${ca ? 'TRUE' : 'FALSE'}`);
  if (ca === true) lines.push('keyUsage = critical, keyCertSign, cRLSign');
  if (usage !== undefined) lines.push(`extendedKeyUsage = ${usage}`);
  const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`);
  if (alternatives.length > 0) lines.push(`subjectAltName = ${alternatives.join(', ')}`);
  return lines;
}

/** Ed25519 brings its own digest: the signing key decides, and 'default' says so. */
function digest({ digest: wanted = 'sha256', key, issuer }: CertOptions): string {
  const signedByEd25519 = issuer === undefined ? key === 'ed25519' : isEd25519(issuer);
  return signedByEd25519 ? 'null' : wanted;
}

function isEd25519(cert: Cert): boolean {
  return new X509Certificate(cert.pem).publicKey.asymmetricKeyType === 'ed25519';
}

const day = 86_400_000;

function notBefore(options: CertOptions): Date {
  return options.notBefore ?? new Date(Date.now() - day);
}

function notAfter(options: CertOptions): Date {
  return options.notAfter ?? new Date(Date.now() + (options.days ?? 365) * day);
}

/** YYYYMMDDHHMMSSZ. */
function stamp(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
}
