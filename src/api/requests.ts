/**
 * What is asked of the API server, and what is to be expected of whoever takes it there.
 */

export interface ApiRequest {
  readonly method?: 'GET' | 'PATCH' | 'POST';
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
  /** The body's media type, which says what kind of patch it is. */
  readonly type?: string;
  /** Ends the request early. */
  readonly signal?: AbortSignal;
}

export interface Watched {
  readonly path: string;
  /** A stream that brings no whole line for longer has died. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

export interface Api {
  /**
   * One request.
   * @returns the answer's JSON
   * @throws Refusal when the server says no; Error when no whole answer comes in time
   */
  ask(request: ApiRequest): Promise<unknown>;
  /**
   * An answer that goes on, of one JSON text a line. Resolves once it has begun.
   * @throws likewise, also while it is read: when it falls silent, breaks off in a line or holds something else
   */
  follow(watched: Watched): Promise<AsyncIterable<unknown>>;
}
