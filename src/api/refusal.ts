/**
 * The API server answered, and the answer is no: to an agent or to an admin.
 */
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
