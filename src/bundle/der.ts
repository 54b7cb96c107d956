/**
 * Reads ASN.1 in DER exactly as strictly as Go's cryptobyte (golang.org/x/crypto/cryptobyte, asn1.go), on which Go's
 * certificate parser stands: low tag numbers only, definite lengths of at most four octets in their shortest form.
 * Octets are strings here, one character up to U+00FF for each, so that they can be compared, sliced and matched.
 */

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tag octet of a context-specific element (X.690, 8.1.2), for one that holds a value or one that holds elements. */
export const primitive = (number: number): number => 0x80 | number;
export const constructed = (number: number): number => 0xa0 | number;

export const octetString = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** The bytes are not the DER that was expected. The message is a phrase for a person: "malformed serial number". */
export class Malformed extends Error {
  override name = 'Malformed';
}

/** What the function returns, or undefined when it throws: for readings whose failure says enough. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

export interface Element {
  readonly tag: number;
  /** The contents, without tag and length. */
  readonly value: string;
  /** Tag, length and contents. */
  readonly whole: string;
}

/** Whole components without padding, each below 2^31, as in Go (X.690, 8.19.2). */
const oids = /^(?:(?:[\x81-\xff][\x80-\xff]{0,2}|[\x81-\x87][\x80-\xff]{3})?[\0-\x7f])+$/;

/** What OBJECT IDENTIFIERs mean, by their octets: certificates name the same few short ones again and again. */
const dotted = new Map<string, string>();
const mostDotted = 100;
const longestDotted = 32;

/** Reads elements one after the other. Each method throws Malformed in the words of the reader when it cannot. */
export class Reader {
  readonly #octets: string;
  #what: string;
  #at = 0;

  /** `what` is the message of failures. */
  constructor(octets: string, what: string) {
    this.#octets = octets;
    this.#what = what;
  }

  get empty(): boolean {
    return this.#at >= this.#octets.length;
  }

  /** The octets not yet read. */
  get rest(): string {
    return this.#octets.slice(this.#at);
  }

  /** The same reader, which fails with other words from now on. */
  as(what: string): this {
    this.#what = what;
    return this;
  }

  fail(detail?: string): never {
    throw new Malformed(detail === undefined ? this.#what : `${this.#what}: ${detail}`);
  }

  /** Whether the next octet is this tag. */
  peek(tag: number): boolean {
    return this.#octets.charCodeAt(this.#at) === tag;
  }

  /** The next element, whatever its tag. */
  any(): Element {
    const from = this.#at;
    const { start, end } = this.#extent(from);
    this.#at = end;
    const octets = this.#octets;
    return { tag: octets.charCodeAt(from), value: octets.slice(start, end), whole: octets.slice(from, this.#at) };
  }

  /** The contents of the next element, which must have this tag. */
  read(tag: number): string {
    return this.peek(tag) ? this.any().value : this.fail();
  }

  /** The contents of the next element if it has this tag; undefined, and nothing read, if it has not. */
  optional(tag: number): string | undefined {
    return this.peek(tag) ? this.any().value : undefined;
  }

  /** A reader of the contents of the next element, which must have this tag. */
  enter(tag: number): Reader {
    return new Reader(this.read(tag), this.#what);
  }

  /** Readers of the contents of all elements that are left, which must have this tag. */
  *all(tag: number): Generator<Reader> {
    while (!this.empty) yield this.enter(tag);
  }

  /** The two's complement octets of an INTEGER, at most so many, which must be minimal (X.690, 8.3.2). */
  integer(tag: number = tags.integer, limit = Infinity): string {
    const value = this.read(tag);
    return value.length > limit || /^(?:$|\0[\0-\x7f]|\xff[\x80-\xff])/.test(value) ? this.fail() : value;
  }

  /** A BOOLEAN, 0x00 or 0xff (X.690, 11.1), that is false when it is not there. */
  flag(): boolean {
    const value = this.optional(tags.boolean) ?? '\0';
    return value === '\0' || value === '\xff' ? value === '\xff' : this.fail();
  }

  /** The contents of a BIT STRING: the number of unused bits, which must be zero (X.690, 11.2), and the octets. */
  bits(): string {
    const value = this.read(tags.bitString);
    const last = value.length > 1 ? value.charCodeAt(value.length - 1) : 0xff;
    const unused = value.charCodeAt(0);
    return unused <= 7 && (last & ((1 << unused) - 1)) === 0 ? value : this.fail();
  }

  /** An OBJECT IDENTIFIER in dotted decimal. */
  oid(): string {
    const value = this.read(tags.oid);
    const known = dotted.get(value);
    if (known !== undefined) return known;
    if (!oids.test(value)) this.fail();
    const numbers: number[] = [];
    let number = 0;
    for (let at = 0; at < value.length; at += 1) {
      const octet = value.charCodeAt(at);
      number = number * 128 + (octet & 0x7f);
      if (octet >= 0x80) continue;
      numbers.push(number);
      number = 0;
    }
    const [first = 0, ...others] = numbers;
    const root = Math.min(Math.floor(first / 40), 2);
    const text = [root, first - root * 40, ...others].join('.');
    // A part of a string keeps all of it in memory.
    const copy = Buffer.from(value, 'latin1').toString('latin1');
    if (dotted.size < mostDotted && value.length <= longestDotted) dotted.set(copy, text);
    return text;
  }

  /** Where the contents of the element at `at` start and end. Octets beyond the end of all are no number. */
  #extent(at: number): { readonly start: number; readonly end: number } {
    const first = this.#octets.charCodeAt(at + 1);
    const start = first < 0x80 ? at + 2 : at + 2 + (first & 0x7f);
    const end = start + (first < 0x80 ? first : this.#length(at + 2, start));
    const isHigh = (this.#octets.charCodeAt(at) & 0x1f) === 0x1f;
    return end <= this.#octets.length && !isHigh ? { start, end } : this.fail();
  }

  /** The long form of a length (X.690, 8.1.3.5), in the fewest octets (10.1). */
  #length(from: number, to: number): number {
    let length = 0;
    for (let at = from; at < to; at += 1) length = length * 256 + this.#octets.charCodeAt(at);
    const least = Math.max(0x80, 256 ** (to - from - 1));
    return to > from && to <= from + 4 && length >= least ? length : this.fail();
  }
}
