/**
 * Waits for all promises, also when one fails; then gives all values or throws the first failure in their order.
 *
 * Unlike `Promise.all` nothing is still at work behind the back of who catches the error.
 */
export async function settleAll<T extends readonly unknown[]>(
  promises: readonly [...{ [Index in keyof T]: Promise<T[Index]> }],
): Promise<T> {
  const pending: readonly Promise<unknown>[] = promises
  const results = await Promise.allSettled(pending)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  // Each result stands at its promise's place; TypeScript does not follow a tuple through allSettled.
  return results.map((result) => (result.status === 'fulfilled' ? result.value : undefined)) as unknown as T
}
