/** The real ports, in this process: its main thread moves into a namespace of its own for the length of the file. */
import { readSync, writeSync } from 'node:fs';
import { afterAll, beforeAll } from 'vitest';
import { FrameMemory, FRAME_OFFSET, FrameList } from '../../src/port/batch.js';
import { PlainIo, type DeviceIo } from '../../src/port/device-io.js';
import { DevicePort } from '../../src/port/device-port.js';
import { ExternalPort } from '../../src/port/external-port.js';
import { PacketReceiver } from '../../src/port/packet-receiver.js';
import { RingIo } from '../../src/port/ring-io.js';
import { TapPort } from '../../src/port/tap-port.js';
import {
  closeFd,
  createTap,
  enterNamespace,
  linkIndex,
  LinkStatistics,
  MessageVector,
  namespacePath,
  O_RDONLY,
  openFd,
  openPacketSocket,
  Ring,
  setLinkUp,
  silenceNamespace,
} from '../../src/sys/index.js';
import { portCompliance, type PortSubject } from '../port-compliance.js';
import { ip, Lab } from './lab.js';

const lab = new Lab('ports');
let home: number;

beforeAll(() => {
  home = openFd('/proc/thread-self/ns/net', O_RDONLY);
  enterNamespace(namespacePath(lab.addNamespace('home')));
  silenceNamespace();
});

afterAll(() => {
  enterNamespace(`/proc/self/fd/${home}`);
  closeFd(home);
  lab.close();
});

/** A descriptor that carries a virtio-net header and a frame per read and write: a tun descriptor. */
function overDescriptor(fd: number): Pick<PortSubject, 'inject' | 'read'> {
  const buffer = Buffer.alloc(70_000);
  return {
    inject: (frames) => {
      for (const bytes of frames) writeSync(fd, Buffer.concat([Buffer.alloc(10), bytes]));
    },
    read: () => {
      const found: Buffer[] = [];
      for (;;) {
        try {
          found.push(Buffer.from(buffer.subarray(10, readSync(fd, buffer))));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return found;
          throw error;
        }
      }
    },
  };
}

/** The far end of a device as its owner's stack: a packet socket on it. */
function overSocket(device: string): Pick<PortSubject, 'inject' | 'read' | 'close'> {
  const memory = new FrameMemory();
  const socket = openPacketSocket(linkIndex(device), 16 << 20);
  const receiver = new PacketReceiver(memory);
  const vector = new MessageVector(1);
  const list = new FrameList();
  return {
    inject: (frames) => {
      for (const bytes of frames) {
        const slot = memory.stage(0, Buffer.concat([Buffer.alloc(10), bytes]));
        vector.set(0, memory.arena.address + slot, memory.arena.address + slot + FRAME_OFFSET, bytes.length);
        if (vector.send(socket, 0, 1) !== 1) throw new Error(`${device} takes no frame`);
      }
    },
    read: () => {
      const found: Buffer[] = [];
      while (receiver.receive(socket, list) > 0) {
        for (let i = 0; i < list.count; i++) {
          found.push(Buffer.from(memory.bytes.subarray(list.start[i], list.start[i]! + list.length[i]!)));
        }
      }
      return found;
    },
    close: () => closeFd(socket),
  };
}

portCompliance('a TAP', () => {
  const memory = new FrameMemory();
  const tunFd = createTap('tap0');
  setLinkUp('tap0', { arp: false });
  const statistics = new LinkStatistics();
  const receiver = new PacketReceiver(memory);
  const port = new TapPort({ id: 'vm/nic0', device: 'tap0', tunFd, memory, receiver, statistics });
  return {
    port,
    memory,
    ...overDescriptor(tunFd),
    close: () => {
      port.close();
      statistics.close();
    },
  };
});

function devicePort(io: (tunFd: number, memory: FrameMemory) => DeviceIo): PortSubject {
  const memory = new FrameMemory();
  const tunFd = createTap('dev0');
  setLinkUp('dev0', { arp: false });
  const statistics = new LinkStatistics();
  const parts = { id: 'box', device: 'dev0', tunFd, io: io(tunFd, memory), statistics, ringFrames: 1000 };
  const port = new DevicePort(parts);
  const far = overSocket('dev0');
  return {
    port,
    memory,
    ...far,
    close: () => {
      far.close();
      port.close();
    },
  };
}

portCompliance('a device port, by plain calls', () => devicePort((fd, memory) => new PlainIo(fd, memory)));

portCompliance('a device port, through io_uring', () => {
  const ring = new Ring();
  const subject = devicePort((fd, memory) => RingIo.for(ring, fd, memory)!);
  return {
    ...subject,
    close: () => {
      subject.close();
      ring.close();
    },
  };
});

portCompliance('an external port', () => {
  ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  for (const end of ['near', 'far']) setLinkUp(end, { arp: false });
  while (!['near', 'far'].every((end) => ip('link', 'show', end).includes('state UP'))); // until then it drops
  const memory = new FrameMemory();
  const port = new ExternalPort({
    id: 'uplink',
    device: 'near',
    memory,
    receiver: new PacketReceiver(memory),
  });
  const far = overSocket('far');
  return {
    port,
    memory,
    ...far,
    close: () => {
      far.close();
      port.close();
      ip('link', 'delete', 'near');
    },
  };
});
