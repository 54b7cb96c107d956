/** The one part of node-forge that is used. Importing it by its path keeps the rest of the library out of the program. */
declare module 'node-forge/lib/asn1.js' {
  interface Node {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    /** Children, or the contents as a string with one octet in each character. */
    readonly value: readonly Node[] | string;
  }
  interface Options {
    readonly strict: boolean;
    readonly parseAllBytes: boolean;
    readonly decodeBitStrings: boolean;
  }
  const asn1: {
    readonly fromDer: (bytes: string, options: Options) => Node;
    readonly toDer: (node: Node) => { getBytes(): string };
  };
  export type { Node };
  export { asn1 as default };
}
