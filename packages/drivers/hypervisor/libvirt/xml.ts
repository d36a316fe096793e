import { XMLBuilder, XMLParser } from 'fast-xml-parser';

/** Attributes are keys with `@`, text is `#text`, repeated elements are arrays; `undefined` is left out. */
export type XmlValue = string | number | XmlNode | readonly XmlNode[] | undefined;
export interface XmlNode {
  readonly [key: string]: XmlValue;
}

const builder = new XMLBuilder({
  ignoreAttributes: false, attributeNamePrefix: '@', textNodeName: '#text', suppressEmptyNode: true, suppressBooleanAttributes: false, processEntities: true,
});

/** Every value is escaped; characters that XML cannot carry at all (controls, half surrogates) become U+FFFD. */
export function toXml(node: XmlNode): string {
  return builder.build(clean(node));
}

function clean(value: XmlValue): XmlValue {
  if (typeof value === 'string') return value.toWellFormed().replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD');
  if (Array.isArray(value)) return value.map((v: XmlNode) => clean(v) as XmlNode);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined).map(([k, v]) => [k, clean(v)]));
}

/** A parsed element with the few questions that one asks of libvirt's documents. */
export class Element {
  readonly #value: unknown;
  constructor(value: unknown) {
    this.#value = value;
  }

  get #object(): Record<string, unknown> {
    return typeof this.#value === 'object' && this.#value !== null ? (this.#value as Record<string, unknown>) : {};
  }

  /** The first child of this name along the path; absent children give an empty element. */
  at(...path: string[]): Element {
    const [first, ...rest] = path;
    return first === undefined ? this : (this.all(first)[0] ?? new Element(undefined)).at(...rest);
  }

  all(name: string): Element[] {
    const value = this.#object[name];
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map((v) => new Element(v));
  }

  attribute(name: string): string | undefined {
    const value = this.#object[`@${name}`];
    return typeof value === 'string' ? value : undefined;
  }

  get text(): string {
    const value = typeof this.#value === 'object' ? this.#object['#text'] : this.#value;
    return typeof value === 'string' ? value : '';
  }

  get exists(): boolean {
    return this.#value !== undefined;
  }

  /** The same element with some of its children and attributes as another one has them. */
  with(other: Element, keys: readonly string[]): Element {
    return new Element({ ...this.#object, ...Object.fromEntries(keys.map((key) => [key, other.#object[key]])) });
  }

  /** Back to XML under the given name, e.g. to hand a device to `detachDevice` exactly as libvirt shows it. */
  toXml(name: string): string {
    return builder.build({ [name]: this.#value });
  }
}

const parser = new XMLParser({
  ignoreAttributes: false, attributeNamePrefix: '@', textNodeName: '#text', parseTagValue: false, parseAttributeValue: false, trimValues: true,
});

/** The root element of the given name. */
export function parseXml(xml: string, root: string): Element {
  return new Element(parser.parse(xml)).at(root);
}
