/** How the capabilities filter compares what a backend reports with an extra spec (`<is> True`, `>= 5`, `<or> a <or> b`, `s== x`, plain text). */
export function matches(reported: string | number | boolean | undefined, wanted: string): boolean {
  if (reported === undefined) return false;
  const text = typeof reported === 'boolean' ? (reported ? 'True' : 'False') : String(reported);
  const [op = '', ...rest] = wanted.trim().split(/\s+/);
  const operand = rest.join(' ');
  const number = Number(text);
  const than = Number(operand);
  switch (op) {
    case '<is>': return truth(text) === truth(operand);
    case '<in>': return text.includes(operand);
    case '<all-in>': return rest.every(word => text.includes(word));
    case '<or>': return wanted.split('<or>').map(w => w.trim()).filter(w => w !== '').includes(text);
    case '=': case '>=': return number >= than;
    case '<=': return number <= than;
    case '==': return number === than;
    case '!=': return number !== than;
    case '>': return number > than;
    case '<': return number < than;
    case 's==': return text === operand;
    case 's!=': return text !== operand;
    case 's<': return text < operand;
    case 's<=': return text <= operand;
    case 's>': return text > operand;
    case 's>=': return text >= operand;
    default: return text === wanted;
  }
}
const truth = (text: string) => /^(1|t|true|on|y|yes)$/i.test(text.trim());
