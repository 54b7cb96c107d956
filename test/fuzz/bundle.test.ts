/**
 * Ten thousand broken files through readBundle: it never crashes, never hangs, and no anchor is a certificate that
 * OpenSSL, GnuTLS or Go refuses. The other direction is measured too: what all accept as a CA and we refuse.
 */
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readBundle } from '../../src/bundle/bundle.ts';
import { judge } from '../../src/bundle/certificate.ts';
import { toPem } from '../../src/bundle/pem.ts';
import { oddCertificates } from '../unit/bundle/odd-certificates.ts';
import { caExtensions, derOf, Workshop } from '../unit/bundle/openssl.ts';
import { rules } from '../unit/bundle/read.ts';
import { askGo, buildGoJudge, refusedByGnuTls, refusedByOpenssl } from './judges.ts';
import { mutant, pick, randomFrom, restructure } from './mutate.ts';

const inputs = Number(process.env['NODE_CA_TRUST_INPUTS'] ?? 10_000);
const seed = Number(process.env['NODE_CA_TRUST_SEED'] ?? 20_261_123);

const workshop = new Workshop();
const goJudge = buildGoJudge(workshop);
if (goJudge === undefined) {
  if (process.env['CI'] !== undefined) throw new Error('in CI it has to run: there is no go on the PATH');
  console.log('no go on the PATH: the verdicts of crypto/x509 are not compared');
}

const directory = '/usr/share/ca-certificates/mozilla';
const roots = readdirSync(directory).map((name) => derOf(readFileSync(`${directory}/${name}`, 'latin1')));
let corpus: readonly Buffer[];
let files: readonly Buffer[];
let richest: Buffer;

/** Every extension that Go looks into. */
const allExtensions = [
  ...caExtensions,
  'subjectAltName=URI:http://user:pa%20ss@example.com:80/x?y#z,DNS:example.com,email:a@b.c,IP:1.2.3.4,URI:https://[fe80::1%25en0]:80/',
  'nameConstraints=permitted;DNS:.example.com,permitted;email:a@b.c,permitted;IP:10.0.0.0/255.0.0.0,excluded;URI:.foo.bar',
  'crlDistributionPoints=URI:http://x.y/z',
  'authorityInfoAccess=OCSP;URI:http://a.b',
  'certificatePolicies=1.2.3.4,2.5.29.32.0',
  'extendedKeyUsage=serverAuth,1.2.3.4',
  'policyConstraints=requireExplicitPolicy:1,inhibitPolicyMapping:0',
  'policyMappings=1.2.3:2.5.6',
  'inhibitAnyPolicy=3',
  'subjectKeyIdentifier=hash',
  'authorityKeyIdentifier=keyid',
];

beforeAll(() => {
  const made = [
    { extensions: allExtensions },
    {},
    { extensions: [] },
    { key: ['-algorithm', 'ED25519'] },
    { key: ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'] },
    {
      key: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'],
      subject: '/C=DE/O=x/CN=y+OU=z',
      request: ['-multivalue-rdn'],
    },
  ].map((wish) => workshop.certificate(wish));
  const ders = made.map(({ der }) => der);
  richest = ders[0] ?? Buffer.alloc(0);
  corpus = [...roots, ...Array.from({ length: 8 }, () => ders).flat(), ...Array.from({ length: 20 }, () => richest)];
  const file = workshop.file('made.pem', made.map(({ pem }) => pem).join(''));
  const pkcs7 = ['crl2pkcs7', '-nocrl', '-certfile', file];
  files = [workshop.openssl(pkcs7), workshop.openssl([...pkcs7, '-outform', 'DER'])];
});

afterAll(() => {
  workshop.remove();
});

const refusedByGo = (pems: readonly string[]): readonly string[] =>
  goJudge === undefined || pems.length === 0
    ? []
    : askGo(goJudge, pems).flatMap((verdict, at) =>
        verdict.startsWith('ok') ? [] : [`${verdict}\n${pems[at] ?? ''}`],
      );

it('no broken file crashes or hangs, and no anchor is refused by OpenSSL, GnuTLS or Go', () => {
  const random = randomFrom(seed);
  const anchors = new Map<string, string>();
  let slowest = 0;
  for (let count = 0; count < inputs; count += 1) {
    const bytes = mutant(random, corpus, files);
    const start = process.cpuUsage();
    const bundle = readBundle([{ files: [{ source: 'f', bytes }], findings: [] }], { ...rules, allowLeaf: true });
    slowest = Math.max(slowest, process.cpuUsage(start).user / 1000);
    for (const { fingerprint, pem } of bundle.anchors) anchors.set(fingerprint, pem);
  }
  const pems = [...anchors.values()];
  console.log(
    `${inputs} inputs of seed ${seed}: ${pems.length} anchors, the slowest input took ${slowest.toFixed(0)} ms`,
  );
  expect(slowest).toBeLessThan(1000);
  expect(pems.length).toBeGreaterThan(0);
  expect(refusedByOpenssl(workshop, pems)).toEqual([]);
  expect(refusedByGnuTls(pems)).toEqual([]);
  expect(refusedByGo(pems)).toEqual([]);
});

function isReadByOpenssl(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

it.skipIf(goJudge === undefined)('hardly a CA that OpenSSL, GnuTLS and Go all take is refused', () => {
  const random = randomFrom(seed + 1);
  const ders = Array.from({ length: inputs }, () =>
    restructure(random, random(2) === 0 ? richest : pick(random, corpus), corpus),
  );
  const pems = ders.map((der) => toPem(der));
  const verdicts = askGo(goJudge ?? '', pems);
  const cas = ders.flatMap((der, at) => {
    const pem = pems[at] ?? '';
    return /^ok [23] true/.test(verdicts[at] ?? '') && isReadByOpenssl(pem) ? [{ pem, verdict: judge(der) }] : [];
  });
  const ours = new Map(cas.flatMap(({ pem, verdict }) => (verdict.kind === 'refused' ? [[pem, verdict.reason]] : [])));
  const theirs = new Set(refusedByGnuTls([...ours.keys()]));
  const refused = [...ours].filter(([pem]) => !theirs.has(pem)).map(([, reason]) => reason);
  const reasons = refused.length === 0 ? '' : `: ${[...new Set(refused)].join('; ')}`;
  console.log(`of ${cas.length} broken CAs that OpenSSL and Go take, ${theirs.size} are refused by GnuTLS,`);
  console.log(`and ${refused.length} are refused beside them${reasons}`);
  expect(cas.length).toBeGreaterThan(0);
  expect(refused.length / cas.length).toBeLessThan(0.001);
});

it('GnuTLS says of the certificates of the unit tests what they expect', () => {
  const some = oddCertificates.filter(({ refusal, go }) => refusal === undefined || go === true);
  const refused = new Set(refusedByGnuTls(some.map(({ der }) => toPem(der))));
  const surprises = some.filter(
    ({ refusal, der }) =>
      refused.has(toPem(der)) !== (refusal !== undefined) && (refusal === undefined || isReadByOpenssl(toPem(der))),
  );
  expect(surprises.map(({ name }) => name)).toEqual([]);
});

it.skipIf(goJudge === undefined)('Go says of the certificates of the unit tests what they expect', () => {
  const verdicts = askGo(
    goJudge ?? '',
    oddCertificates.map(({ der }) => toPem(der)),
  );
  const isOfNoUse = (der: Uint8Array): boolean => {
    const judgement = judge(der);
    return (
      judgement.kind === 'certificate' &&
      judgement.certificate.weaknesses.some((one) => one.includes('(Go) verify nothing'))
    );
  };
  const surprises = oddCertificates.filter(({ refusal, go, der }, at) => {
    const verdict = verdicts[at] ?? '';
    const isTaken = refusal === undefined || go === true;
    return (
      verdict.startsWith('ok') !== isTaken || (refusal === undefined && verdict.endsWith('false') !== isOfNoUse(der))
    );
  });
  expect(surprises.map(({ name }) => name)).toEqual([]);
});
