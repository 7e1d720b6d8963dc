// The boxes that the demo starts with.

import { seal } from '../public/content.js';
import { findPerson } from './people.js';

export async function seed(boxes) {
  const [ada, grace, alan] = ['ada', 'grace', 'alan'].map(findPerson);

  const launch = await boxes.create(ada, { title: 'Launch plan', access_mode: 'public' });
  await boxes.join(grace, launch.id);
  await boxes.join(alan, launch.id);
  await boxes.write(ada, launch.id, { content: seal('The checklist is done. Shall we go on Thursday?') });
  await boxes.write(alan, launch.id, { content: seal('Thursday works for me.') });

  const review = await boxes.create(grace, { title: 'Design review', access_mode: 'public' });
  await boxes.join(ada, review.id);
  await boxes.write(grace, review.id, {
    content: seal('I moved the unread badge next to the title. Easier to find, I think.'),
  });
  await boxes.write(ada, review.id, { content: seal('Much better. And it stays the same in every tab?') });
  await boxes.write(grace, review.id, { content: seal('It does: reading in one tab clears the others.') });

  await boxes.create(alan, { title: 'Reading club', access_mode: 'public' });
}
