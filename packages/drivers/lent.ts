/*
 * Memory that is used again. A chunk of a stream is normally left to the garbage collector; but V8 counts the bytes behind it and collects the whole heap for every 20 MB of
 * them, which costs more than moving the bytes does. A source may therefore lend its chunks: whoever is done with one gives it back, and the source fills it anew. Who does
 * not know of this breaks nothing: a chunk that is never given back is collected like any other.
 */
interface Loan { readonly back: () => void; users: number }
const loans = new WeakMap<Uint8Array, Loan>();

/** Marks a chunk as lent, with one user: the stream that it is written to next. `back` is called when nobody needs its bytes any more. */
export function lend<C extends Uint8Array>(chunk: C, back: () => void): C {
  loans.set(chunk, { back, users: 1 });
  return chunk;
}

/** One user more, who gives it back too. Of a chunk that is not lent nothing need be known. */
export function keep(chunk: Uint8Array): void {
  const loan = loans.get(chunk);
  if (loan) loan.users += 1;
}

/** Said once by each user, of the very object that came out of the stream: its bytes may change from now on. */
export function giveBack(chunk: Uint8Array): void {
  const loan = loans.get(chunk);
  if (!loan) return;
  loan.users -= 1;
  if (loan.users > 0) return;
  loans.delete(chunk);
  loan.back();
}
