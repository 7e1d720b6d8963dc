// The older majors of the frameworks, under the names that package.json gives them.

declare module 'express4' {
  export { default } from 'express';
}

declare module 'koa2' {
  export { default } from 'koa';
}
