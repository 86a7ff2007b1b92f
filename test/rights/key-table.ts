/** Deploy keys that ask, in the order of the columns. The first three are bound to acme/private and acme/old. */
export const deployKeys = {
  dr: 'a deploy key that reads',
  dw: 'one that writes',
  df: 'one that writes ci/* alone',
  dg: 'one that writes on the organization acme as a whole',
  dx: 'one that wrote, and has ended',
  dp: 'one that is to write, and is pending',
  dv: 'one that wrote, and was revoked',
} as const;
export type KeyWho = keyof typeof deployKeys;

export const endedKeys: readonly KeyWho[] = ['dx', 'dp', 'dv'];

/** The only commands that a deploy key runs, besides git's programs. */
export const keyCommands: readonly string[] = ['whoami', 'help', '{nothing}'];

/** What git does for deploy keys, and some commands for each of them; visibility gives them nothing. */
export const keyGrid = `
#                                          dr dw df dg dx dp dv
git clone acme/private                      0  0  0  0  4  4  4
git clone acme/internal                     3  3  3  0  4  4  4
git clone acme/public                       3  3  3  0  4  4  4
git clone un/private                        3  3  3  3  4  4  4
git clone un/internal                       3  3  3  3  4  4  4
git clone un/public                         3  3  3  3  4  4  4
git clone acme/old                          0  0  0  0  4  4  4
git clone acme/none                         3  3  3  3  4  4  4
git archive acme/private                    0  0  0  0  4  4  4
git archive acme/public                     3  3  3  0  4  4  4
git archive un/public                       3  3  3  3  4  4  4
git push acme/private {new}                 4  0  4  0  4  4  4
git push acme/private ci/{new}              4  0  0  0  4  4  4
git push acme/private ci/x/{new}            4  0  4  0  4  4  4
git push acme/private cj/{new}              4  0  4  0  4  4  4
git push acme/internal {new}                3  3  3  0  4  4  4
git push acme/old ci/{new}                  4  4  4  4  4  4  4
git push un/internal {new}                  3  3  3  3  4  4  4
git push {new}                              3  3  3  3  4  4  4
git push acme/{new}                         3  3  3  3  4  4  4
git push un/{new}                           3  3  3  3  4  4  4
list acme/private                           4  4  4  4  4  4  4
show acme/private                           4  4  4  4  4  4  4
repo set acme/private --description {new}   4  4  4  4  4  4  4
sshkey add -                                4  4  4  4  4  4  4
whoami                                      0  0  0  0  4  4  4
help                                        0  0  0  0  4  4  4
{nothing}                                   0  0  0  0  4  4  4
`;
