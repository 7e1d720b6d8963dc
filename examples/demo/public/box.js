// What a box event does to a box. The server and the page share this one function, so that a page that follows the
// events arrives at what the server holds.

/** An empty box: `members` are identities with the id of their join event; `timeline` is what the page shows. */
export const newBox = ({ id, title, creatorId, accessMode }) => ({
  id,
  title,
  creator_id: creatorId,
  access_mode: accessMode,
  members: [],
  timeline: [],
});

/** Changes the box as the event says. Applying an event again changes nothing. */
export function applyEvent(box, event) {
  switch (event.type) {
    case 'msg.edit': {
      const message = box.timeline.find((entry) => entry.id === event.referrer_id);
      if (message && !message.deleted) Object.assign(message, { content: event.content, edited: true });
      return;
    }
    case 'msg.delete': {
      const message = box.timeline.find((entry) => entry.id === event.referrer_id);
      if (message) Object.assign(message, { content: null, deleted: true });
      return;
    }
    case 'state.access_mode':
      box.access_mode = event.content.value;
      break;
    case 'member.join':
      if (!isMember(box, event.sender.id)) box.members.push({ ...event.sender, join_id: event.id });
      break;
    case 'member.leave':
    case 'member.kick':
      box.members = box.members.filter((member) => member.join_id !== event.referrer_id);
      break;
  }
  if (box.timeline.some((entry) => entry.id === event.id)) return;
  box.timeline.push({
    id: event.id,
    type: event.type,
    sender: event.sender,
    at: event.server_event_created_at,
    content: event.content ?? null,
    edited: false,
    deleted: false,
  });
}

export const isMember = (box, personId) => box.members.some((member) => member.id === personId);

/** Whoever is kicked is the sender of that event; the person who acted is the kicker. */
export function isActor(personId, event) {
  return event.sender.id === personId || (event.type === 'member.kick' && event.content.kicker.id === personId);
}
