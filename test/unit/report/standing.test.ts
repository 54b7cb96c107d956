import { describe, expect, it } from 'vitest';
import type { RuntimeState } from '../../../src/report/report.ts';
import {
  conditionOf,
  eventOf,
  eventsOf,
  mayStart,
  proofOf,
  removedEvent,
  starting,
} from '../../../src/report/standing.ts';
import { anchorOf, findingOf, passOf, sha256 } from '../support/anchors.ts';

const runtime = (state: RuntimeState['state'], name: RuntimeState['name'] = 'containerd'): RuntimeState => ({
  name,
  socket: '/run/a.sock',
  pid: 1,
  way: 'certs.d',
  directories: [],
  state,
  message: 'a message',
});
const digest = sha256('a bundle');
const anchors = [
  anchorOf('late', { notAfter: '2040-01-01T00:00:00.000Z' }),
  anchorOf('soon', { notAfter: '2030-01-01T00:00:00.000Z' }),
];

describe('the condition', () => {
  it('is true of what is proven', () => {
    expect(conditionOf(passOf({ anchors, digest }))).toEqual({
      status: 'True',
      reason: 'Proven',
      message: `proven: the node trusts the bundle; anchors: 2, digest: ${digest.slice(0, 16)}`,
    });
  });

  it('says what pulls do not see where that keeps it from being true of nothing else', () => {
    const runtimes = [runtime('trusts', 'docker'), runtime('incomplete')];
    const { status, message } = conditionOf(passOf({ anchors, digest, runtimes }));
    expect(status).toBe('True');
    expect(message).toMatch(/digest: [0-9a-f]{16}; containerd: a message$/);
  });

  it('says that a CA which was taken out of the bundle is trusted still', () => {
    const { status, message } = conditionOf(passOf({ anchors, digest, heldBack: ['aa'] }));
    expect(status).toBe('True');
    expect(message).toMatch(/digest: [0-9a-f]{16}; removals held back until the API server answers: 1$/);
  });

  it('says that the Secret cannot be read any more: what it held last counts', () => {
    const { status, message } = conditionOf(passOf({ anchors, digest, stale: 'what was read of it last holds: 403' }));
    expect(status).toBe('True');
    expect(message).toMatch(/digest: [0-9a-f]{16}; what was read of it last holds: 403$/);
  });

  it.each([
    ['private-key', 'BundlePrivateKey'],
    ['not-a-ca', 'BundleNotACa'],
    ['empty', 'BundleEmpty'],
    ['unreadable', 'BundleUnreadable'],
    ['too-many', 'BundleTooMany'],
  ] as const)('names what is wrong with the bundle for programs: %s', (code, reason) => {
    const findings = [findingOf('warning', 'weak'), findingOf('error', code)];
    const result = passOf({ converged: false, findings, reasons: [`${code}: ca.crt: mend it`] });
    expect(conditionOf(result)).toEqual({ status: 'False', reason, message: `${code}: ca.crt: mend it` });
  });

  it('names what is wrong with the host before the bundle, and how much more there is', () => {
    const findings = [findingOf('error', 'empty')];
    const reasons = ['no space left', 'empty: bundle: nothing'];
    expect(conditionOf(passOf({ converged: false, findings, reasons }))).toEqual({
      status: 'False',
      reason: 'HostNotProven',
      message: 'no space left (and 1 more)',
    });
  });

  it('names a runtime whose pulls do not see the store, where that counts', () => {
    const runtimes = [runtime('incomplete')];
    const result = passOf({ converged: false, runtimes, reasons: ['containerd: a message'] });
    expect(conditionOf(result)).toMatchObject({ reason: 'RuntimeNotReady' });
  });

  it('is one short line, whatever the reason holds', () => {
    const result = passOf({ converged: false, reasons: [`a\u001b[2J\n${'x'.repeat(10_000)}`] });
    const { message } = conditionOf(result);
    expect(message.length).toBeLessThan(300);
    // eslint-disable-next-line no-control-regex
    expect(message).not.toMatch(/[\u0000-\u001f]/);
    expect(conditionOf(passOf({ converged: false }))).toMatchObject({ message: 'unknown' });
  });

  it('has a reason that the API server takes', () => {
    const all = [starting, conditionOf(passOf()), conditionOf(passOf({ converged: false }))];
    for (const { reason } of all) expect(reason).toMatch(/^[A-Z][A-Za-z]*$/);
  });
});

describe('the proof', () => {
  it('says what was proven', () => {
    expect(proofOf(passOf({ anchors, digest, runtimes: [runtime('trusts')] }), '1.2.3')).toEqual({
      digest,
      anchors: 2,
      expires: '2030-01-01T00:00:00.000Z',
      runtime: 'trusts',
      version: '1.2.3',
    });
  });

  it('of nothing has no expiry, and where no runtime runs says so', () => {
    expect(proofOf(passOf({ digest }), '1')).toEqual({ digest, anchors: 0, runtime: 'none', version: '1' });
  });

  it('says of runtimes that could not be looked at that pulls are not known to see the store', () => {
    const unseen = passOf({ digest, runtimesUnseen: true });
    expect(proofOf(unseen, '1')).toMatchObject({ runtime: 'incomplete' });
    expect(conditionOf(unseen).message).toMatch(/; the container runtimes could not be looked at$/);
  });

  it('is none when nothing was proven', () => {
    expect(proofOf(passOf({ converged: false, anchors }), '1')).toBeUndefined();
  });

  it('is none while what another bundle held is trusted still: the digest would say that it is gone', () => {
    expect(proofOf(passOf({ anchors, digest, heldBack: ['aa'] }), '1')).toBeUndefined();
  });

  it.each([
    [['trusts', 'incomplete'], 'incomplete'],
    [['incomplete', 'restart-needed'], 'restart-needed'],
    [['restart-failed', 'restart-needed'], 'restart-failed'],
    [['trusts', 'revoked-after-restart'], 'revoked-after-restart'],
  ] as const)('has the worst of the runtimes: %j', (states, worst) => {
    const runtimes = states.map((state) => runtime(state));
    expect(proofOf(passOf({ runtimes }), '1')).toMatchObject({ runtime: worst });
  });
});

describe('the startup taint', () => {
  it.each([
    ['nothing runs that pulls', passOf(), true],
    ['what runs could not be looked at', passOf({ runtimesUnseen: true }), false],
    ['pulls see the store', passOf({ runtimes: [runtime('trusts'), runtime('revoked-after-restart')] }), true],
    ['the host is not proven', passOf({ converged: false, runtimes: [runtime('trusts')] }), false],
    ['one runtime needs a restart', passOf({ runtimes: [runtime('trusts'), runtime('restart-needed')] }), false],
    ['some registries are not seen', passOf({ runtimes: [runtime('incomplete')] }), false],
    ['others stand in the way of one', passOf({ runtimes: [{ ...runtime('incomplete'), aside: true }] }), true],
    [
      'others stand in the way of one, and the host is not proven',
      passOf({ converged: false, runtimes: [{ ...runtime('incomplete'), aside: true }] }),
      false,
    ],
  ])('may go by what was found: %s', (_, result, expected) => {
    expect(mayStart(result)).toBe(expected);
  });
});

describe('the Events', () => {
  it('tell of repairs', () => {
    expect(eventsOf(passOf({ repaired: ['a', 'b'] }), [])).toEqual([
      {
        reason: 'TrustRepaired',
        type: 'Normal',
        note: 'somebody changed the trust store of the node; anchors that were put back: 2',
      },
    ]);
    expect(eventsOf(passOf(), [])).toEqual([]);
  });

  it('tell of each runtime that needs a restart, when it comes to need one', () => {
    const runtimes = [runtime('restart-needed'), runtime('restart-failed', 'docker'), runtime('trusts', 'cri-o')];
    const told = eventsOf(passOf({ runtimes }), [runtime('trusts')]);
    expect(told.map(({ reason, type, note }) => `${type} ${reason} ${note}`)).toEqual([
      'Warning RuntimeRestartNeeded containerd: a message',
      'Warning RuntimeRestartNeeded docker: a message',
    ]);
    expect(eventsOf(passOf({ runtimes }), runtimes)).toEqual([]);
    const incomplete = [runtime('incomplete')];
    expect(eventsOf(passOf({ runtimes: incomplete }), [])).toEqual([
      { reason: 'PullsIncomplete', type: 'Warning', note: 'containerd: a message' },
    ]);
    expect(eventsOf(passOf({ runtimes: incomplete }), incomplete)).toEqual([]);
  });

  it('are no longer than the API server takes, whatever there is to say', () => {
    const long = { ...runtime('incomplete'), message: 'm\u00e4'.repeat(400) };
    const said = conditionOf(passOf({ anchors, digest, runtimes: [long, long, long], stale: 's'.repeat(2_000) }));
    expect(Buffer.byteLength(eventOf(said).note)).toBeLessThanOrEqual(1024);
    expect(said.message.length).toBeLessThan(1_500);
  });

  it('tell of what the Node comes to say, and of its end', () => {
    const { message } = conditionOf(passOf({ anchors, digest }));
    expect(eventOf(conditionOf(passOf({ anchors, digest })))).toEqual({
      reason: 'TrustUpdated',
      type: 'Normal',
      note: message,
    });
    expect(eventOf(conditionOf(passOf({ converged: false })))).toMatchObject({
      reason: 'TrustRefused',
      type: 'Warning',
    });
    expect(removedEvent(3)).toMatchObject({ reason: 'TrustRemoved', note: expect.stringContaining('3') as unknown });
  });
});
