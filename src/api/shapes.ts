/**
 * Lists and maps that a server sends. zod's own note what is wrong with each entry, a hundred times the room of what was
 * sent: these stop at the first.
 */
import * as z from 'zod/mini';

/** Whatever is in it. */
export const list = z.custom<readonly unknown[]>((value) => Array.isArray(value));

export function listOf<T>(shape: z.ZodMiniType<T>): z.ZodMiniType<readonly T[]> {
  return z.custom<readonly T[]>(
    (value) => Array.isArray(value) && value.every((entry) => z.safeParse(shape, entry).success),
  );
}

/** A map to texts. zod's own leaves out a key named __proto__ without a word, too. */
export const texts = z.custom<Readonly<Record<string, string>>>(
  (value: unknown) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === 'string'),
);
