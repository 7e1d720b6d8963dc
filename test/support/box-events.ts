// Box events to publish.

import type { BoxEvent } from '../../src/protocol/events.ts';

/** A `msg.text` by zoe, with the changes of a test. */
export function textEvent(id: string, { boxId = 'box', senderId = 'zoe', text = id } = {}): BoxEvent {
  return {
    id,
    type: 'msg.text',
    box_id: boxId,
    server_event_created_at: '2020-09-15T08:30:00Z',
    sender: { id: senderId },
    content: { text },
  };
}
