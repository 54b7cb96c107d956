/**
 * Reads ASN.1 in DER exactly as strictly as Go's cryptobyte (golang.org/x/crypto/cryptobyte, asn1.go), on which Go's
 * certificate parser stands: low tag numbers only, definite lengths of at most four octets in their shortest form.
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

/** The tag octet of a context-specific element, primitive or constructed (X.690, 8.1.2). */
export const context = (number: number, constructed: boolean): number => 0x80 | (constructed ? 0x20 : 0) | number;

/** The bytes are not the DER that was expected. The message is a phrase for a person: "malformed serial number". */
export class Malformed extends Error {
  override name = 'Malformed';
}

export interface Element {
  readonly tag: number;
  /** The contents, without tag and length. */
  readonly value: Uint8Array;
  /** Tag, length and contents. */
  readonly whole: Uint8Array;
}

/** Reads elements one after the other. Each method throws Malformed with the words of `what` when it cannot. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get empty(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The bytes not yet read. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  /** Whether the next octet is this tag. */
  peek(tag: number): boolean {
    return this.#bytes[this.#at] === tag;
  }

  /** The next element, whatever its tag. */
  any(what: string): Element {
    const from = this.#at;
    const start = this.#pass(what);
    const whole = this.#bytes.subarray(from, this.#at);
    return { tag: whole[0] ?? 0, value: whole.subarray(start - from), whole };
  }

  /** The contents of the next element, which must have this tag. */
  read(tag: number, what: string): Uint8Array {
    if (!this.peek(tag)) throw new Malformed(what);
    return this.#bytes.subarray(this.#pass(what), this.#at);
  }

  /** The next element as a whole, which must have this tag. */
  element(tag: number, what: string): Uint8Array {
    if (!this.peek(tag)) throw new Malformed(what);
    return this.any(what).whole;
  }

  /** The contents of the next element if it has this tag; undefined, and nothing read, if it has not. */
  optional(tag: number, what: string): Uint8Array | undefined {
    return this.peek(tag) ? this.read(tag, what) : undefined;
  }

  /** A reader of the contents of the next element, which must have this tag. */
  enter(tag: number, what: string): Reader {
    return new Reader(this.read(tag, what));
  }

  /** Moves behind the next element and returns where its contents start. */
  #pass(what: string): number {
    const tag = this.#bytes[this.#at];
    const first = this.#bytes[this.#at + 1];
    if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new Malformed(what);
    const octets = first < 0x80 ? 0 : first & 0x7f;
    const start = this.#at + 2 + octets;
    const end = start + (octets === 0 ? first : this.#length(octets, what));
    if (first === 0x80 || end > this.#bytes.length) throw new Malformed(what);
    this.#at = end;
    return start;
  }

  /** The long form of a length (X.690, 8.1.3.5), in the fewest octets (10.1). */
  #length(octets: number, what: string): number {
    if (octets > 4) throw new Malformed(what);
    let length = 0;
    for (let index = 0; index < octets; index += 1) length = length * 256 + (this.#bytes[this.#at + 2 + index] ?? 0);
    if (length < 0x80 || length < 256 ** (octets - 1)) throw new Malformed(what);
    return length;
  }
}

/** The two's complement octets of an INTEGER, which must be minimal (X.690, 8.3.2). */
export function readInteger(reader: Reader, what: string, tag: number = tags.integer): Uint8Array {
  const value = reader.read(tag, what);
  const [first, second = 0] = value;
  const padded = value.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (first === undefined || padded) throw new Malformed(what);
  return value;
}

export const isNegative = (integer: Uint8Array): boolean => (integer[0] ?? 0) >= 0x80;

export const isPositive = (integer: Uint8Array): boolean =>
  !isNegative(integer) && integer.some((octet) => octet !== 0);

/** The number of bits of a positive integer. */
export function bitLength(integer: Uint8Array): number {
  const first = integer.findIndex((octet) => octet !== 0);
  const octet = integer[first];
  return octet === undefined ? 0 : (integer.length - first - 1) * 8 + (32 - Math.clz32(octet));
}

/** A BOOLEAN: 0x00 or 0xff, nothing else (X.690, 11.1). */
export function readBoolean(reader: Reader, what: string): boolean {
  const value = reader.read(tags.boolean, what);
  if (value.length !== 1 || (value[0] !== 0 && value[0] !== 0xff)) throw new Malformed(what);
  return value[0] === 0xff;
}

/** A BIT STRING; its unused bits must be zero (X.690, 11.2). */
export function readBits(reader: Reader, what: string): { readonly unused: number; readonly octets: Uint8Array } {
  const value = reader.read(tags.bitString, what);
  const unused = value[0] ?? 8;
  const last = value.length > 1 ? (value.at(-1) ?? 0) : 0;
  if (unused > 7 || (value.length === 1 && unused > 0) || (last & ((1 << unused) - 1)) !== 0) throw new Malformed(what);
  return { unused, octets: value.subarray(1) };
}

/**
 * An OBJECT IDENTIFIER in dotted decimal. Components reach 2^31 - 1, as in Go; larger ones are refused.
 */
export function readOid(reader: Reader, what: string): string {
  const numbers: number[] = [];
  let number = 0;
  let fresh = true;
  for (const octet of reader.read(tags.oid, what)) {
    // A leading 0x80 pads the number (X.690, 8.19.2).
    if ((fresh && octet === 0x80) || number >= 2 ** 24) throw new Malformed(what);
    number = number * 128 + (octet & 0x7f);
    fresh = octet < 0x80;
    if (!fresh) continue;
    numbers.push(number);
    number = 0;
  }
  const [first] = numbers;
  if (!fresh || first === undefined) throw new Malformed(what);
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...numbers.slice(1)].join('.');
}
