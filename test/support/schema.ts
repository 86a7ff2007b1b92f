import type { AnswerSchema } from '../../src/commands/command.ts';

/**
 * Where a value does not fit a schema: strictly, so that a field which the schema does not name is a fault, too.
 *
 * @returns one line for each fault, `$.members[0].role: …`; none when it fits
 */
export function schemaFaults(schema: AnswerSchema, value: unknown, place = '$'): string[] {
  const types = typeof schema.type === 'string' ? [schema.type] : schema.type;
  const type = typeOf(value);
  if (!types.includes(type)) return [`${place}: is ${type}, not ${types.join(' or ')}`];
  if (schema.enum !== undefined && !schema.enum.includes(String(value))) {
    return [`${place}: ${String(value)} is none of ${schema.enum.join(', ')}`];
  }
  if (schema.format === 'date-time' && type === 'string' && !isTime(String(value))) {
    return [`${place}: ${String(value)} is no time in UTC`];
  }
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined)
      return value.length === 0 ? [] : [`${place}: its items have no schema`];
    return value.flatMap((each, index) => schemaFaults(items, each, `${place}[${index}]`));
  }
  return type === 'object' ? fieldFaults(schema, value as object, place) : [];
}

function fieldFaults(schema: AnswerSchema, value: object, place: string): string[] {
  const { properties = {}, required = [], additionalProperties = false } = schema;
  const missing = required.filter((name) => !Object.hasOwn(value, name));
  return [
    ...missing.map((name) => `${place}.${name}: is missing`),
    ...Object.entries(value).flatMap(([name, each]) => {
      const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (known !== undefined) return schemaFaults(known, each, `${place}.${name}`);
      return additionalProperties ? [] : [`${place}.${name}: is not in the schema`];
    }),
  ];
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && !Number.isNaN(Date.parse(text));
}
