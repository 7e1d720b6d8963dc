// Cuts a message into calls: the recipients of one partition together, and not so many that Redis would let others wait.

import type { Delivery } from '../../src/index.ts';
import { partitionOf } from './keys.ts';

interface BatchDelivery extends Delivery {
  /** Among the message's deliveries. */
  readonly index: number;
}

/** What one call appends. */
export interface Batch {
  readonly partition: number;
  /** Among the message's batches; the same recipients are in the batch of this number when the call is made again. */
  readonly number: number;
  readonly deliveries: readonly BatchDelivery[];
  /** Where each recipient stands in the whole message. */
  readonly places: readonly number[];
}

/** Either is about a millisecond of Redis' time: recipients, and characters that are stored for them. */
const RECIPIENTS = 200;
const CHARACTERS = 1_000_000;

interface Open {
  deliveries: (BatchDelivery & { userIds: string[] })[];
  of: Delivery;
  places: number[];
  characters: number;
}

export function batchesOf(deliveries: readonly Delivery[], partitions: number): Batch[] {
  const batches: Batch[] = [];
  const open = new Map<number, Open>();
  const finish = (partition: number, { deliveries, places }: Open): void => {
    batches.push({ partition, number: batches.length, deliveries, places });
  };
  let place = 0;
  for (const [index, delivery] of deliveries.entries()) {
    for (const userId of delivery.userIds) {
      const partition = partitions === 1 ? 0 : partitionOf(userId, partitions);
      let batch = open.get(partition);
      const isFull = batch && (batch.places.length === RECIPIENTS || batch.characters > CHARACTERS);
      if (batch && isFull) finish(partition, batch);
      if (!batch || isFull) {
        batch = { deliveries: [], of: delivery, places: [], characters: 0 };
        open.set(partition, batch);
      }
      if (batch.deliveries.length === 0 || batch.of !== delivery) {
        batch.of = delivery;
        batch.deliveries.push({ ...delivery, index, userIds: [] });
      }
      batch.deliveries.at(-1)!.userIds.push(userId);
      batch.places.push(place++);
      batch.characters += delivery.payload.length;
    }
  }
  for (const [partition, batch] of open) finish(partition, batch);
  return batches;
}
