/**
 * Text from a certificate or a file name, made fit for one line of a log or a terminal. What an attacker or an accident
 * put there must neither break the line nor colour the screen nor reverse the reading direction.
 */

/**
 * Everything that does not print as itself: controls, escapes, bidi and other format characters, lone surrogates,
 * unassigned and private code points, separators, and blanks other than the plain space.
 */
const unprintable = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|[^\S ]/gu;

/**
 * Escapes what does not print as `\u{hex}` and cuts the result to at most `limit` characters, the last of which is then
 * an ellipsis of three dots. Takes any string and never throws.
 */
export function printable(text: string, limit = 300): string {
  // The cut comes first, so that a megabyte of text costs nothing; escapes only make it longer.
  const head = text.length > limit ? text.slice(0, limit) : text;
  const escaped = head.replace(unprintable, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`);
  return text.length <= limit && escaped.length <= limit ? escaped : `${escaped.slice(0, limit - 3)}...`;
}
