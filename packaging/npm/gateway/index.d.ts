/**
 * The path of the gateway's program. Reading it throws if the package of this platform is missing;
 * the error names it.
 */
export const path: string;
