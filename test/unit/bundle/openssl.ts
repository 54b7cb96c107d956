/**
 * Certificates for tests, made by the real `openssl` in a directory of their own.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface CertificateWish {
  /** Subject in OpenSSL's slash form: "/CN=Example". */
  readonly subject?: string;
  /** What follows `openssl genpkey`: ["-algorithm", "ED25519"]. */
  readonly key?: readonly string[];
  /** Lines of the extension section; none makes a certificate of version 1. */
  readonly extensions?: readonly string[];
  /** The certificate that signs it; itself when absent. */
  readonly issuer?: Made;
  /** From and to, as YYYYMMDDHHMMSSZ. */
  readonly from?: string;
  readonly to?: string;
  /** More options of `openssl ca`: ["-sigopt", "rsa_padding_mode:pss"]. */
  readonly options?: readonly string[];
  /** More options of `openssl req`, which makes the subject: ["-utf8", "-multivalue-rdn"]. */
  readonly request?: readonly string[];
  readonly digest?: string;
}

export interface Made {
  readonly keyFile: string;
  readonly certificateFile: string;
  readonly pem: string;
  readonly der: Buffer;
  readonly keyPem: string;
}

export const p256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'] as const;
export const caExtensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'] as const;

const misleading = new Set(['SSL_CERT_FILE', 'SSL_CERT_DIR', 'OPENSSL_CONF']);

/** The environment without the variables that lead OpenSSL and Go to other stores. */
export const environment: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !misleading.has(name)),
);

export class Workshop {
  readonly directory = mkdtempSync(join(tmpdir(), 'bundle-test-'));
  #count = 0;

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Runs openssl with the arguments and returns its standard output. */
  openssl(parameters: readonly string[], input?: string | Uint8Array): Buffer {
    return execFileSync('openssl', parameters, {
      cwd: this.directory,
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
      ...(input !== undefined && { input }),
    });
  }

  /** Writes a file into the directory and returns its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  /** A path in the directory that no other file has. */
  path(extension: string): string {
    return join(this.directory, this.#name(extension));
  }

  #name(extension: string): string {
    this.#count += 1;
    return `${this.#count}.${extension}`;
  }

  /** Makes a key and a certificate. */
  certificate(wish: CertificateWish = {}): Made {
    const keyFile = this.path('key');
    this.openssl(['genpkey', ...(wish.key ?? p256), '-out', keyFile]);
    return this.certify(keyFile, wish);
  }

  /** Makes a certificate for a key that is there. */
  certify(keyFile: string, wish: CertificateWish): Made {
    const certificateFile = this.path('crt');
    const requestFile = this.path('csr');
    const { subject = '/CN=Example Root', extensions = caExtensions, issuer } = wish;
    this.openssl(['req', '-new', '-key', keyFile, '-subj', subject, '-out', requestFile, ...(wish.request ?? [])]);
    const database = this.file(this.#name('db'), '');
    const config = this.file(
      this.#name('cnf'),
      [
        '[ca]',
        'default_ca=this',
        '[this]',
        `database=${database}`,
        `new_certs_dir=${this.directory}`,
        'policy=any',
        'unique_subject=no',
        'rand_serial=yes',
        'preserve=yes',
        '[any]',
        ...['CN', 'O', 'OU', 'C', 'ST', 'L', 'DC', 'UID', 'SN', 'emailAddress'].map((name) => `${name}=optional`),
        '[extensions]',
        ...extensions,
        '',
      ].join('\n'),
    );
    const signer =
      issuer === undefined
        ? ['-selfsign', '-keyfile', keyFile]
        : ['-cert', issuer.certificateFile, '-keyfile', issuer.keyFile];
    this.openssl([
      'ca',
      '-batch',
      '-notext',
      '-config',
      config,
      '-in',
      requestFile,
      '-out',
      certificateFile,
      '-startdate',
      wish.from ?? '20260101000000Z',
      '-enddate',
      wish.to ?? '20360101000000Z',
      '-preserveDN',
      '-md',
      wish.digest ?? 'default',
      ...signer,
      ...(extensions.length > 0 ? ['-extensions', 'extensions'] : []),
      ...(wish.options ?? []),
    ]);
    const pem = readFileSync(certificateFile, 'latin1');
    return { keyFile, certificateFile, pem, der: derOf(pem), keyPem: readFileSync(keyFile, 'latin1') };
  }
}

/** The DER of a PEM block that openssl wrote. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
}
