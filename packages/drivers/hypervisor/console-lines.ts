/** What the API may show at most: Nova's own limit. */
export const consoleCapBytes = 102_400;

/** The last lines without the empty one after the final newline; 0 lines is the empty text. */
export function lastLines(text: string, lines: number): string {
  if (lines <= 0) return '';
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  return all.slice(-lines).join('\n');
}
