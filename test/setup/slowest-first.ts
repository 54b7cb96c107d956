// The order of a suite's files. Where two run at once, a slow one that comes last has the other core wait for it.
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** @param names of the slowest files, without `.test.ts`, the slowest first; the others follow as they would otherwise */
export function slowestFirst(...names: readonly string[]): typeof BaseSequencer {
  const place = ({ moduleId }: TestSpecification): number => {
    const at = names.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
    return at < 0 ? names.length : at;
  };
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
    }
  };
}
