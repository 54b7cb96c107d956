/**
 * The arguments of a program of another, as its command line has them.
 */

/** The value of an option by one of its names: `--name VALUE` or `--name=VALUE`, the last one given. */
export function optionOf(argv: readonly string[], ...names: readonly string[]): string | undefined {
  const values = argv.flatMap((word, index) => {
    const [name = '', ...rest] = word.split('=');
    if (!names.includes(name)) return [];
    return rest.length > 0 ? [rest.join('=')] : argv.slice(index + 1, index + 2);
  });
  return values.at(-1);
}
