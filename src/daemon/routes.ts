/** The API: every route of the daemon, version 1. The OpenAPI document is made from this table (openapi.ts). */
import { VERSION } from '../version.js';
import { StillwireError } from '../errors/index.js';
import { CaptureDesk } from './capture-stream.js';
import type { Operation } from './operations.js';
import { json, type Route, type StreamRoute } from './route.js';
import {
  checkpointBodySchema,
  emptySchema,
  healthSchema,
  holdBodySchema,
  holdGrantSchema,
  holdStateSchema,
  imageReportSchema,
  markBodySchema,
  operationEventSchema,
  operationSchema,
  releaseReportSchema,
  renewBodySchema,
  statusSchema,
} from './wire.js';

async function* lines(operation: Operation, gone: AbortSignal): AsyncGenerator<string> {
  for await (const event of operation.events(gone)) yield `${JSON.stringify(event)}\n`;
}

const capture = (): StreamRoute => {
  const desk = new CaptureDesk();
  return {
    method: 'GET',
    path: '/v1/capture',
    summary:
      'Every frame that enters from now on, as pcapng, until the client closes. One watcher at a time.',
    status: 200,
    contentType: 'application/vnd.tcpdump.pcap',
    stream: ({ control, gone }) => ({ chunks: desk.open(control.live, gone) }),
  };
};

/** A table of its own for each server. */
export const routeTable = (): readonly Route[] => [
  json({
    method: 'GET',
    path: '/healthz',
    summary: 'Whether the daemon answers.',
    status: 200,
    answer: healthSchema,
    handle: ({ control }) => {
      const { rss, heapUsed, external } = process.memoryUsage();
      return {
        status: 'ok' as const,
        network: control.live.definition.network,
        version: VERSION,
        pid: process.pid,
        memory: { rssBytes: rss, heapUsedBytes: heapUsed, externalBytes: external },
      };
    },
  }),
  json({
    method: 'GET',
    path: '/v1/network',
    summary: 'What runs, and what has passed.',
    status: 200,
    answer: statusSchema,
    handle: async ({ control }) => statusSchema.parse(await control.live.status()),
  }),
  json({
    method: 'POST',
    path: '/v1/checkpoints',
    summary: 'Takes a checkpoint. After one with `kill` the daemon ends.',
    status: 202,
    body: checkpointBodySchema,
    answer: operationSchema,
    handle: ({ control, body }) => control.checkpoint(body).view,
  }),
  json({
    method: 'GET',
    path: '/v1/operations/:id',
    summary: 'How far an operation is. The last 32 are remembered.',
    status: 200,
    answer: operationSchema,
    handle: ({ control, param }) => control.operation(param('id')).view,
  }),
  json({
    method: 'DELETE',
    path: '/v1/operations/:id',
    summary: 'Aborts an operation; what it had begun is undone. One that has ended stays as it is.',
    status: 202,
    answer: operationSchema,
    handle: ({ control, param }) => {
      const operation = control.operation(param('id'));
      operation.abort(new StillwireError('INTERRUPTED', 'the checkpoint was aborted'));
      return operation.view;
    },
  }),
  {
    method: 'GET',
    path: '/v1/operations/:id/events',
    summary: 'All events of an operation from its beginning, one JSON document a line, until it has ended.',
    status: 200,
    contentType: 'application/x-ndjson',
    line: operationEventSchema,
    stream: ({ control, param, gone }) => ({ chunks: lines(control.operation(param('id')), gone) }),
  },
  json({
    method: 'POST',
    path: '/v1/holds',
    summary: 'Stops all delivery, empties the way down, and keeps what arrives until the release.',
    status: 201,
    body: holdBodySchema,
    answer: holdGrantSchema,
    handle: ({ control, body }) => control.hold(body),
  }),
  json({
    method: 'POST',
    path: '/v1/holds/:token/renew',
    summary: 'Starts the lease of a hold anew.',
    status: 200,
    body: renewBodySchema,
    answer: holdStateSchema,
    handle: ({ control, param, body }) => {
      control.renew(param('token'), body.leaseMs);
      return { state: 'held' as const };
    },
  }),
  json({
    method: 'POST',
    path: '/v1/holds/:token/mark',
    summary: 'Freezes the in-flight frames and writes an image without guests. The machines are stopped.',
    status: 200,
    body: markBodySchema,
    answer: imageReportSchema,
    handle: async ({ control, param, body }) =>
      imageReportSchema.parse(await control.mark(param('token'), body.name)),
  }),
  json({
    method: 'DELETE',
    path: '/v1/holds/:token',
    summary: 'Delivers what was held and lets traffic flow. The token `current` names whatever hold lasts.',
    status: 200,
    answer: releaseReportSchema,
    handle: ({ control, param }) => control.release(param('token')),
  }),
  capture(),
  json({
    method: 'POST',
    path: '/v1/down',
    summary: 'Ends the network: guests are killed, namespace, socket and lock removed.',
    status: 202,
    body: emptySchema,
    answer: emptySchema,
    handle: ({ control }) => {
      control.down('a client asked for it');
      return {};
    },
  }),
];
