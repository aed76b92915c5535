/** Our files as independent readers see them. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import {
  encodeClassic,
  encodeHeader,
  encodeInterfaceStatistics,
  encodePacket,
} from '../../src/pcap/index.js';
import type { PcapPacket } from '../../src/pcap/index.js';
import { PACKETS, SECTION } from './pcap-samples.js';

const SUPER_FRAME: PcapPacket = {
  interface: 0,
  timeNs: 1_700_000_001_000_000_001n,
  bytes: new Uint8Array(65_600).fill(1),
};
const ALL = [...PACKETS, SUPER_FRAME];

const noTshark = spawnSync('tshark', ['--version']).status !== 0;

// tshark wants a regular file: it reads it twice.
const directory = mkdtempSync(join(tmpdir(), 'stillwire-pcap-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** One array of field values per packet. */
function tshark(file: Uint8Array, ...fields: string[]): string[][] {
  const path = join(directory, 'file');
  writeFileSync(path, file);
  const options = ['-n', '-r', path, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
  const { stdout, stderr, status } = spawnSync('tshark', options, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`tshark exited with ${status}: ${stderr}`);
  return stdout
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => line.split('\t'));
}

describe.skipIf(noTshark)('tshark', { timeout: 30_000 }, () => {
  it('reads the pcapng', () => {
    const file = Buffer.concat([
      encodeHeader(SECTION),
      ...ALL.map(encodePacket),
      encodeInterfaceStatistics(0, 1_700_000_002_000_000_000n, { received: 2, dropped: 1 }),
    ]);
    const fields = [
      'frame.time_epoch',
      'frame.len',
      'frame.cap_len',
      'frame.interface_name',
      'frame.comment',
    ];
    expect(
      tshark(file, ...fields, 'frame.interface_description', 'frame.packet_id', 'frame.drop_count'),
    ).toEqual([
      ['1700000000.123456789', '61', '61', 'bob/eth0', PACKETS[0]!.comment, '', '7', '3'],
      ['1700000000.123456790', '60', '60', 'alice/eth0', '', 'segment left', '', ''],
      ['1700000001.000000001', '65600', '65600', 'alice/eth0', '', 'segment left', '', ''],
    ]);
    expect(tshark(file, 'frame.packet_flags_direction').flat()).toEqual(['0x00000001', '0x00000002', '']);
  });

  it('reads the classic export', () => {
    expect(tshark(encodeClassic(ALL), 'frame.time_epoch', 'frame.len', 'frame.cap_len')).toEqual([
      ['1700000000.123456000', '61', '61'],
      ['1700000000.123456000', '60', '60'],
      ['1700000001.000000000', '65600', '65600'],
    ]);
  });
});

/** The part of pcap-parser (which has no types) used here. */
interface ParsedPacket {
  readonly header: { readonly timestampSeconds: number; readonly timestampMicroseconds: number };
  readonly data: Uint8Array;
}
interface PcapParser {
  parse(stream: Readable): { on(event: string, listener: (value: never) => void): void };
}

const noPcapParser = !existsSync(new URL('../../node_modules/pcap-parser', import.meta.url));

describe.skipIf(noPcapParser)('pcap-parser', () => {
  it('reads the classic export', async () => {
    const name = 'pcap-parser';
    const { default: parser } = (await import(name)) as { default: PcapParser };
    const packets = await new Promise<ParsedPacket[]>((resolve, reject) => {
      const seen: ParsedPacket[] = [];
      // It starts on the first chunk it is given, so the stream hands out the file whole.
      const parsing = parser.parse(Readable.from([Buffer.from(encodeClassic(ALL))], { objectMode: false }));
      parsing.on('packet', (packet: ParsedPacket) => seen.push(packet));
      parsing.on('end', () => resolve(seen));
      parsing.on('error', (error: Error) => reject(error));
    });
    expect(packets.map(({ data }) => Buffer.from(data).toString('hex'))).toEqual(
      ALL.map(({ bytes }) => Buffer.from(bytes).toString('hex')),
    );
    expect(packets.map(({ header }) => [header.timestampSeconds, header.timestampMicroseconds])).toEqual([
      [1_700_000_000, 123_456],
      [1_700_000_000, 123_456],
      [1_700_000_001, 0],
    ]);
  });
});
