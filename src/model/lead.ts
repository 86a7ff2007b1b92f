/** Why nobody writes here between the word that a server is to lead and its answer. @param server - its name */
export const untold = (server: string) =>
  `${server} was told to lead and did not say whether it does: nobody writes here until it has`;

/** The command that asks it again, which ends the hand-over one way or the other. */
export const asksAgain = (server: string) => `servers promote ${server} --yes`;
