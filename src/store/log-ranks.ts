/** The order in which what the log says can be done: names before what lies under them, files last. */
export const ranks = { owner: 1, repo: 5, objects: 8, purge: 9 } as const;
