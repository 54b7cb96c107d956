/**
 * The API server answered, and the answer is no: to an agent or to an admin.
 */
import * as z from 'zod/mini';
import { attempt } from '../bundle/der.ts';
import { printable } from '../bundle/text.ts';
import { UsageProblem } from '../host/problem.ts';

/** A right that is missing, for the most part: that is for the admin to mend. */
export class Refusal extends UsageProblem {
  override name = 'Refusal';
  /** The HTTP status. */
  readonly code: number;

  /**
   * @param said the server's own words, if any
   * @param server who answered
   * @param advice what to do, if that is known
   */
  constructor(code: number, said: string, server = 'the API server', advice = '') {
    super(
      `${server} answered ${code}${said === '' ? '' : `: ${printable(said, 500)}`}${advice === '' ? '' : `; ${advice}`}`,
    );
    this.code = code;
  }
}

/** A token that is being replaced, another's change at the same time, too many requests, a server that is not well. */
export function isPassing({ code }: Refusal): boolean {
  return [401, 409, 429].includes(code) || code >= 500;
}

/** What a text means as JSON; undefined when it is none. */
export const jsonOf = (text: string): unknown => attempt((): unknown => JSON.parse(text));

const statusShape = z.object({ message: z.string() });

/** What a Status object says (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/). */
export function messageOf(text: string): string {
  return z.safeParse(statusShape, jsonOf(text)).data?.message ?? '';
}
