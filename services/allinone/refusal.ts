/** Why the cloud cannot start, or cannot go on: one line for the person who typed `npm start`, without a stack. */
export class Refusal extends Error {}
