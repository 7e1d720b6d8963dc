// The HTTP API as a table, so that the Express and the Koa server serve the very same one. A handler gets the person who
// asks, the parameters of the path and the body, and returns what to answer; undefined is 204.

import { findPerson, people } from './people.js';
import { Refused } from './refused.js';
import { issueToken, personIdOf } from './tokens.js';

/** `about` is told to the page: the `framework`, and a `view`, a script that adds to the page, where there is one. */
export function createRoutes(boxes, about) {
  const open = [
    ['get', '/api/about', () => ({ ...about, people })],
    ['post', '/api/login', ({ body }) => login(body.person_id)],
  ];
  const signedIn = [
    ['get', '/api/boxes', ({ person }) => boxes.listFor(person)],
    ['post', '/api/boxes', ({ person, body }) => boxes.create(person, body)],
    ['delete', '/api/boxes/:box', ({ person, params }) => boxes.deleteBox(person, params.box)],
    [
      'put',
      '/api/boxes/:box/access',
      ({ person, params, body }) => boxes.setAccessMode(person, params.box, body.value),
    ],
    ['post', '/api/boxes/:box/members', ({ person, params }) => boxes.join(person, params.box)],
    [
      'delete',
      '/api/boxes/:box/members/:member',
      ({ person, params }) => boxes.removeMember(person, params.box, params.member),
    ],
    ['post', '/api/boxes/:box/messages', ({ person, params, body }) => boxes.write(person, params.box, body)],
    [
      'put',
      '/api/boxes/:box/messages/:message',
      ({ person, params, body }) => boxes.edit(person, params.box, params.message, body.content),
    ],
    [
      'delete',
      '/api/boxes/:box/messages/:message',
      ({ person, params }) => boxes.deleteMessage(person, params.box, params.message),
    ],
  ];
  return [
    ...open.map(([method, path, handle]) => ({ method, path, handle })),
    ...signedIn.map(([method, path, handle]) => ({
      method,
      path,
      handle: async (request) => handle({ ...request, person: await personOf(request.authorization) }),
    })),
  ];
}

async function login(personId) {
  if (!findPerson(personId)) throw new Refused(400, 'There is no such person in the demo.');
  return issueToken(personId);
}

async function personOf(authorization) {
  const person = findPerson(await personIdOf(authorization));
  if (!person) throw new Refused(401, 'Sign in again.');
  return person;
}
