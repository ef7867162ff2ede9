/** A long answer, page by page. */

export async function* pages<P extends { cursor?: string }>(
  ask: (cursor?: string) => Promise<P>,
): AsyncGenerator<P, void> {
  let cursor: string | undefined;
  do {
    const page = await ask(cursor);
    yield page;
    cursor = page.cursor;
  } while (cursor !== undefined);
}
