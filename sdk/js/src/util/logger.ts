/** Where this package says what nobody was there to be told. */

export interface Logger {
  debug(message: string): void;
  warn(message: string, error?: unknown): void;
  error(message: string, error?: unknown): void;
}

/** The default: warnings and errors go to the console. */
export const consoleLogger: Logger = {
  debug: () => {},
  warn: (message, error) => console.warn(`hallward: ${message}`, ...(error ? [error] : [])),
  error: (message, error) => console.error(`hallward: ${message}`, ...(error ? [error] : [])),
};
