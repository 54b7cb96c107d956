/** The one part of node-forge that is used. Importing it by its path keeps the rest of the library out of the program. */
declare module 'node-forge/lib/asn1.js' {
  interface Options {
    readonly strict: boolean;
    readonly parseAllBytes: boolean;
    readonly decodeBitStrings: boolean;
  }
  const asn1: {
    readonly fromDer: (octets: string, options: Options) => unknown;
    readonly toDer: (node: unknown) => { getBytes(): string };
  };
  export { asn1 as default };
}
