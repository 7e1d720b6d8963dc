// Who can sign in to the demo. Each is an identity in the form that box events carry.

const person = (id, name) => ({
  id,
  display_name: name,
  avatar_url: null,
  identifier_value: `${id}@example.org`,
  identifier_kind: 'email',
});

export const people = [person('ada', 'Ada Lovelace'), person('grace', 'Grace Hopper'), person('alan', 'Alan Turing')];

export const findPerson = (id) => people.find((one) => one.id === id);
