/**
 * The items of a list while it comes in: a page of 500 Nodes is 5 MB of text and several times that as objects, of which
 * no more than one is needed at a time. Parsed page by page, 5,000 Nodes take `status` 270 to 380 MB, not 165 (pages of 100
 * to 500).
 */

/** Whether the character at `at` is escaped: an odd number of backslashes stands before it. */
function isEscaped(text: string, from: number, at: number): boolean {
  let first = at;
  while (first > from && text[first - 1] === '\\') first -= 1;
  return (at - first) % 2 === 1;
}

function isOpening(character: string | undefined): character is string {
  return character === '{' || character === '[';
}

function isClosing(character: string | undefined): boolean {
  return character === '}' || character === ']';
}

/**
 * Splits the JSON of one object: an item is an object in an array that the object itself holds, as in a Kubernetes list.
 * Of text that is not JSON it makes something that is not JSON either; it never throws.
 */
export class ItemSplitter {
  /** The text without its items: in the place of each stands a null. */
  rest = '';
  /** What there is of an item that has begun. */
  #item: string | undefined;
  #depth = 0;
  #isInArray = false;
  #isInString = false;
  /** The next piece begins with the character that a backslash stood before. */
  #startsEscaped = false;

  /** Takes the next piece of the text. @returns the JSON of each item that it completes */
  push(piece: string): readonly string[] {
    const items: string[] = [];
    let kept = 0;
    for (let at = 0; at < piece.length; at += 1) {
      if (this.#isInString) at = this.#endOfString(piece, at);
      const character = piece[at];
      if (character === '"') this.#isInString = !this.#isInString;
      else if (isOpening(character) && this.#begins(character)) {
        this.rest += `${piece.slice(kept, at)}null`;
        kept = at;
      } else if (isClosing(character) && this.#ends()) {
        items.push(this.#take(piece.slice(kept, at + 1)));
        kept = at + 1;
      }
    }
    if (this.#item === undefined) this.rest += piece.slice(kept);
    else this.#item += piece.slice(kept);
    return items;
  }

  /** Whether an item begins with this brace or bracket. */
  #begins(character: string): boolean {
    if (this.#depth === 1) this.#isInArray = character === '[';
    const isItem = this.#depth === 2 && this.#isInArray && character === '{';
    if (isItem) this.#item = '';
    this.#depth += 1;
    return isItem;
  }

  /** Whether an item ends with this brace or bracket. */
  #ends(): boolean {
    this.#depth -= 1;
    return this.#depth === 2 && this.#item !== undefined;
  }

  #take(end: string): string {
    const item = `${this.#item ?? ''}${end}`;
    this.#item = undefined;
    return item;
  }

  /** Where the string ends that goes on at `from`: at its quote, or with the piece. Most of the text is skipped like this. */
  #endOfString(piece: string, from: number): number {
    let begin = from + Number(this.#startsEscaped);
    this.#startsEscaped = false;
    for (;;) {
      const at = piece.indexOf('"', begin);
      if (at < 0) this.#startsEscaped = isEscaped(piece, begin, piece.length);
      if (at < 0) return piece.length;
      if (!isEscaped(piece, begin, at)) return at;
      begin = at + 1;
    }
  }
}
