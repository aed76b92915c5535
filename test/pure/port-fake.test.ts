import { FrameMemory } from '../../src/port/batch.js';
import { portCompliance } from '../port-compliance.js';
import { FakePort } from './fake-port.js';

for (const kind of ['tap', 'device', 'external'] as const) {
  portCompliance(`the fake ${kind}`, () => {
    const memory = new FrameMemory();
    const port = new FakePort('p', memory, kind);
    port.window = 256;
    return {
      port,
      memory,
      inject: (frames) => {
        for (const bytes of frames) port.inject(bytes);
      },
      read: () => port.read().map(({ bytes }) => bytes),
      close: () => port.close(),
    };
  });
}
