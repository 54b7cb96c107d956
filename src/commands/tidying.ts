/**
 * Gives back the memory that work took, once there is none: at rest a third of the heap is what the first pass left.
 * Needs Node's --expose-gc; without it nothing is lost but that.
 */

/** To be told after each pass whether it changed something. */
export function openTidying(): (changed: boolean) => void {
  let untidy = true;
  return (changed) => {
    if (untidy && !changed) globalThis.gc?.({ type: 'major', flavor: 'last-resort', execution: 'sync' });
    untidy = changed;
  };
}
