/** The OpenAPI 3.1 document of the route table. */
import { z } from 'zod';
import { VERSION } from '../version.js';
import type { Route } from './route.js';
import { errorSchema } from './wire.js';

type Json = Readonly<Record<string, unknown>>;

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const document: Json = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  // OpenAPI 3.1 names the dialect once, for the whole document.
  return Object.fromEntries(Object.entries(document).filter(([key]) => key !== '$schema'));
}

const content = (type: string, schema: Json): Json => ({ content: { [type]: { schema } } });

function operationOf(route: Route): Json {
  const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
  const stream = 'stream' in route;
  const answer = stream
    ? content(route.contentType, route.line === undefined ? {} : schemaOf(route.line, 'output'))
    : content('application/json', schemaOf(route.answer, 'output'));
  const body = stream ? undefined : route.body;
  return {
    summary: route.summary,
    ...(names.length > 0 && {
      parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    }),
    ...(body !== undefined && {
      requestBody: { required: false, ...content('application/json', schemaOf(body, 'input')) },
    }),
    responses: {
      [route.status]: { description: 'as asked', ...answer },
      default: {
        description: 'refused or failed',
        ...content('application/json', { $ref: '#/components/schemas/Error' }),
      },
    },
  };
}

/** Plain data, ready for JSON. */
export function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Stillwire',
      version: VERSION,
      description: 'One network, on its own unix socket.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: { schemas: { Error: schemaOf(errorSchema, 'output') } },
  };
}
