import { deployKeys, endedKeys, type KeyWho, keyCommands, keyGrid } from './key-table.ts';

/** Who asks, in the order of the table's columns. Each but `op` and `an` is a user of that name. */
export const people = {
  op: 'the operator',
  sa: 'a site admin',
  un: 'the owner of the namespace un',
  ow: 'an owner of the organization acme',
  ad: 'an admin of acme',
  me: 'a member of acme, whose members may read',
  mx: 'a member of acme with write granted on each of its repositories',
  re: 'read granted on each repository of acme and un',
  wr: 'write granted on each of them',
  ag: 'admin granted on each of them',
  go: 'a member of the organization guests, to which write is granted on each of them',
  og: 'write granted on acme as a whole',
  st: 'a stranger: an active user with nothing',
  an: 'nobody: not signed in',
  di: 'a disabled site admin',
  ex: 'a site admin whose key has ended',
  rv: 'a site admin whose key was revoked',
  pe: 'a user whose key is pending',
  de: 'a deleted user',
} as const;
export type Who = keyof typeof people | KeyWho;

/** Those who have nothing any more, or nothing yet: no door lets them in. */
export const ended: readonly Who[] = ['di', 'ex', 'rv', 'pe', 'de', ...endedKeys];

/** One question and its one right answer. */
export interface Row {
  readonly who: Who;
  /** The command as it is typed; `git clone`, `git push`, `git archive` and a repository for git's own. */
  readonly words: string;
  /** The exit status. Where a right is shown instead: its first letter, or `-` when the repository is not listed. */
  readonly answer: string;
}

/**
 * Right × principal × visibility × command, written by hand from contract sections 1, 3 and 4: 0 done, 2 usage,
 * 3 not found or not yours to see, 4 denied, 5 conflict; `.` is no question. acme is an organization, un a user;
 * their repositories are called by their visibility. `{new}` is a fresh name, `{self}` the asker's own, `{spare}` and
 * `{key}` fingerprints, `{victim}` a user to lose, `{nothing}` no words at all.
 */
const grid = `
# Reading and pushing
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
git clone acme/private                      2  0  3  0  0  0  0  0  0  0  0  0  3  3  4  4  4  4  4
git clone acme/internal                     2  0  0  0  0  0  0  0  0  0  0  0  0  3  4  4  4  4  4
git clone acme/public                       2  0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4
git clone un/private                        2  0  0  3  3  3  3  0  0  0  0  3  3  3  4  4  4  4  4
git clone un/internal                       2  0  0  0  0  0  0  0  0  0  0  0  0  3  4  4  4  4  4
git clone un/public                         2  0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4
git archive acme/private                    2  0  3  0  0  0  0  0  0  0  0  0  3  3  4  4  4  4  4
git archive acme/internal                   2  0  0  0  0  0  0  0  0  0  0  0  0  3  4  4  4  4  4
git archive acme/public                     2  0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4
git archive un/private                      2  0  0  3  3  3  3  0  0  0  0  3  3  3  4  4  4  4  4
git archive un/internal                     2  0  0  0  0  0  0  0  0  0  0  0  0  3  4  4  4  4  4
git archive un/public                       2  0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4
git push acme/private                       2  0  3  0  0  4  0  4  0  0  0  0  3  3  4  4  4  4  4
git push acme/internal                      2  0  4  0  0  4  0  4  0  0  0  0  4  3  4  4  4  4  4
git push acme/public                        2  0  4  0  0  4  0  4  0  0  0  0  4  4  4  4  4  4  4
git push un/private                         2  0  0  3  3  3  3  4  0  0  0  3  3  3  4  4  4  4  4
git push un/internal                        2  0  0  4  4  4  4  4  0  0  0  4  4  3  4  4  4  4  4
git push un/public                          2  0  0  4  4  4  4  4  0  0  0  4  4  4  4  4  4  4  4
# What is shown: the right that one has, - where it is not in the list
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
list acme/private                           o  o  -  o  a  r  w  r  w  a  w  w  -  4  4  4  4  4  4
list acme/internal                          o  o  r  o  a  r  w  r  w  a  w  w  r  4  4  4  4  4  4
list acme/public                            o  o  r  o  a  r  w  r  w  a  w  w  r  4  4  4  4  4  4
list un/private                             o  o  o  -  -  -  -  r  w  a  w  -  -  4  4  4  4  4  4
list un/internal                            o  o  o  r  r  r  r  r  w  a  w  r  r  4  4  4  4  4  4
list un/public                              o  o  o  r  r  r  r  r  w  a  w  r  r  4  4  4  4  4  4
show acme/private                           o  o  3  o  a  r  w  r  w  a  w  w  3  3  4  4  4  4  4
show acme/internal                          o  o  r  o  a  r  w  r  w  a  w  w  r  3  4  4  4  4  4
show acme/public                            o  o  r  o  a  r  w  r  w  a  w  w  r  r  4  4  4  4  4
show un/private                             o  o  o  3  3  3  3  r  w  a  w  3  3  3  4  4  4  4  4
show un/internal                            o  o  o  r  r  r  r  r  w  a  w  r  r  3  4  4  4  4  4
show un/public                              o  o  o  r  r  r  r  r  w  a  w  r  r  r  4  4  4  4  4
# Merging, here of a branch into itself
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
merge acme/private main                     0  0  3  0  0  4  0  4  0  0  0  0  3  3  4  4  4  4  4
merge acme/internal main                    0  0  4  0  0  4  0  4  0  0  0  0  4  3  4  4  4  4  4
merge un/public main                        0  0  0  4  4  4  4  4  0  0  0  4  4  4  4  4  4  4  4
# Administering: what an admin of the repository may
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo set acme/private --description {new}   0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo set acme/internal --description {new}  0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo set acme/public --description {new}    0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo set un/private --description {new}     0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo set un/internal --description {new}    0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo set un/public --description {new}      0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access list acme/private               0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo access list acme/internal              0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access list acme/public                0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access list un/private                 0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo access list un/internal                0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access list un/public                  0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access grant acme/private tmp read     0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo access grant acme/internal tmp read    0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access grant acme/public tmp read      0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access grant un/private tmp read       0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo access grant un/internal tmp read      0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access grant un/public tmp read        0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access grant acme/private red admin    0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo access grant acme/internal red admin   0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access grant acme/public red admin     0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access grant un/private red admin      0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo access grant un/internal red admin     0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access grant un/public red admin       0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access grant acme/private cap admin    0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo access grant acme/internal cap admin   0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access grant acme/public cap admin     0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access grant un/private cap admin      0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo access grant un/internal cap admin     0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access grant un/public cap admin       0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access revoke acme/private red         0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo access revoke acme/internal red        0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access revoke acme/public red          0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
repo access revoke un/private red           0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo access revoke un/internal red          0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo access revoke un/public red            0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
audit list --repo acme/private              0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
audit list --repo acme/internal             0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
audit list --repo acme/public               0  0  4  0  0  4  4  4  4  0  4  4  4  4  4  4  4  4  4
audit list --repo un/private                0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
audit list --repo un/internal               0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
audit list --repo un/public                 0  0  0  4  4  4  4  4  4  0  4  4  4  4  4  4  4  4  4
# Purging, here of what a branch still has: the owner of the repository alone
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo history acme/private --purge 4b825dc --yes   5  5  3  5  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo history acme/internal --purge 4b825dc --yes  5  5  4  5  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo history un/private --purge 4b825dc --yes     5  5  5  3  3  3  3  4  4  4  4  3  3  3  4  4  4  4  4
repo history un/public --purge 4b825dc --yes      5  5  5  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
# Ref rules: an admin of the repository, or of the organization
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo rules list acme/private                0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo rules list acme/internal               0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo rules list un/private                  0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo rules list un/internal                 0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo rules add acme/private x --deny force  0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo rules add acme/internal x --deny force  0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo rules add un/private x --deny force    0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo rules add un/internal x --deny force   0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo rules remove acme/private 9 --yes      3  3  3  3  3  4  4  4  4  3  4  4  3  3  4  4  4  4  4
repo rules remove acme/internal 9 --yes     3  3  4  3  3  4  4  4  4  3  4  4  4  3  4  4  4  4  4
repo rules remove un/private 9 --yes        3  3  3  3  3  3  3  4  4  3  4  3  3  3  4  4  4  4  4
repo rules remove un/internal 9 --yes       3  3  3  4  4  4  4  4  4  3  4  4  4  3  4  4  4  4  4
repo protect acme/private x                 0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo protect acme/internal x                0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo protect un/private x                   0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo protect un/internal x                  0  0  0  4  4  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo rules add acme/none x --deny force     3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
repo rules add acme/private x               2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
repo rules remove acme/private 9            2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
# cap is an admin by a grant: only an owner is above that
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo access grant acme/private cap read     0  0  3  0  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo access grant acme/internal cap read    0  0  4  0  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo access grant acme/public cap read      0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo access grant un/private cap read       0  0  0  3  3  3  3  4  4  4  4  3  3  3  4  4  4  4  4
repo access grant un/internal cap read      0  0  0  4  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo access grant un/public cap read        0  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo access revoke acme/private cap         0  0  3  0  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo access revoke acme/internal cap        0  0  4  0  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo access revoke acme/public cap          0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo access revoke un/private cap           0  0  0  3  3  3  3  4  4  4  4  3  3  3  4  4  4  4  4
repo access revoke un/internal cap          0  0  0  4  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo access revoke un/public cap            0  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo access grant acme/private tmp owner    2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
repo access grant acme/private nemo read    3  3  3  3  3  4  4  4  4  3  4  4  3  3  4  4  4  4  4
# History is for who reads; topic was made by sa and forced by nobody, so that with write there is nothing to undo
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo history acme/private                   0  0  3  0  0  0  0  0  0  0  0  0  3  3  4  4  4  4  4
repo history acme/internal main             0  0  0  0  0  0  0  0  0  0  0  0  0  3  4  4  4  4  4
repo history un/private                     0  0  0  3  3  3  3  0  0  0  0  3  3  3  4  4  4  4  4
repo undo acme/private topic --dry-run      0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo undo acme/internal topic --dry-run     0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo undo un/private topic --dry-run        0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo undo acme/private nosuch --yes         3  3  3  3  3  4  4  4  4  3  4  4  3  3  4  4  4  4  4
repo undo acme/private topic                2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
repo undo acme/old topic --dry-run          4  4  3  4  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
# acme/old is private and archived; members have nothing in beta and may write in gama, both private
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
git clone acme/old                          2  0  3  0  0  0  0  0  0  0  0  0  3  3  4  4  4  4  4
git push acme/old                           2  4  3  4  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
merge acme/old main                         4  4  3  4  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
show acme/old                               o  o  3  o  a  r  w  r  w  a  w  w  3  3  4  4  4  4  4
repo set acme/old --description {new}       4  4  3  4  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo access grant acme/old tmp read         0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo archive acme/old                       0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
show beta/app                               o  o  3  o  a  3  3  3  3  3  3  3  3  3  4  4  4  4  4
list beta/app                               o  o  -  o  a  -  -  -  -  -  -  -  -  4  4  4  4  4  4
git push beta/app                           2  0  3  0  0  3  3  3  3  3  3  3  3  3  4  4  4  4  4
show gama/app                               o  o  3  o  a  w  3  3  3  3  3  3  3  3  4  4  4  4  4
git push gama/app                           2  0  3  0  0  0  3  3  3  3  3  3  3  3  4  4  4  4  4
# Deleting: what an owner of the repository may. acme/bin is private and in the trash, granted to wr and ag
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo delete acme/private --yes              0  0  3  0  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo delete acme/public --yes               0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo delete un/internal --yes               0  0  0  4  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo delete acme/private                    2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
repo restore acme/bin                       0  0  3  0  4  4  4  3  4  4  3  4  3  3  4  4  4  4  4
repo restore acme/none                      3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
repo trash list acme/bin                    0  0  3  0  4  4  4  3  4  4  3  4  3  3  4  4  4  4  4
repo trash empty acme/bin --dry-run         0  0  3  0  4  4  4  3  4  4  3  4  3  3  4  4  4  4  4
repo trash list                             0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
repo trash empty acme/bin                   2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
show acme/bin                               3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
repo verify acme/private                    0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo verify acme/internal                   0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo maintain acme/private                  0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo maintain acme/private --prune-archive  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
list --discover                             -  -  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo adopt                                  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
# What is not there
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
git clone acme/none                         2  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
git archive acme/none                       2  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
show acme/none                              3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
show nowhere/app                            3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
repo set acme/none --description x          3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
repo access revoke acme/none red            3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
audit list --repo acme/none                 3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
# Creating
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
init {new}                                  0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
init acme/{new}                             0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
init un/{new}                               0  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
init nowhere/{new}                          3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
init acme/private                           5  5  4  5  5  4  4  4  4  4  4  4  4  4  4  4  4  4  4
init un/private                             5  5  5  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
init acme/private --exist-ok                0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
git push {new}                              2  0  0  0  0  0  0  0  0  0  0  0  0  3  4  4  4  4  4
git push acme/{new}                         2  0  3  0  0  3  3  3  3  3  3  3  3  3  4  4  4  4  4
git push un/{new}                           2  0  0  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
git push nowhere/{new}                      2  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
org create {new}                            0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
# Organizations: in acme, mmm is a member, aaa an admin, ooo an owner, tmp nothing
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
org list                                    0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
org show acme                               0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
org show nowhere                            3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
org member list acme                        0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
org member add acme tmp                     0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member add acme tmp --role admin        0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member add acme tmp --role owner        0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member add acme mmm                     0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member add acme aaa --role admin        0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member add acme ooo --role owner        0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme mmm admin              0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme mmm owner              0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme aaa member             0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme aaa owner              0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme ooo admin              0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme tmp member             3  3  4  3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member remove acme mmm                  0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member remove acme aaa                  0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member remove acme ooo                  0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org member role acme {self} owner           .  3  4  0  4  4  4  4  4  4  4  4  4  .  4  4  4  4  4
org member remove acme {self}               .  0  0  0  0  0  0  0  0  0  0  0  0  .  4  4  4  4  4
org member add acme nemo                    3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
org rules list acme                         0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org rules add acme x --deny force           0  0  4  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org rules remove acme 9 --yes               3  3  4  3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org rules list nowhere                      3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
# Users and keys
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
user add {new}                              0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user add {new} --admin                      0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user list                                   0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user show {self}                            .  0  0  0  0  0  0  0  0  0  0  0  0  .  4  4  4  4  4
user show tgt                               0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user show nemo                              3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user disable tgt                            0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user enable tgt                             0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user delete {victim} --yes                  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user delete tgt                             2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
sshkey add -                                2  0  0  0  0  0  0  0  0  0  0  0  0  2  4  4  4  4  4
sshkey add - --user tgt                     0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
sshkey list                                 0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
sshkey list --user tgt                      0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
sshkey revoke {spare} --yes                 .  0  0  0  0  0  0  0  0  0  0  0  0  .  4  4  4  4  4
sshkey revoke {spare} --user tgt --yes      3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
sshkey revoke {key} --yes                   0  0  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
sshkey revoke {key} --user tgt --yes        0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
sshkey generate --dry-run                   0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
sshkey deploy nosuch                        3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
sshkey fetch nosuch                         3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
# Other servers: the site admins' business, and of the machine itself the operator's
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
servers invite {new} --role dev             0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers invite {new} --role lord            2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
servers join cpm-invitation,dev,cpm@127.0.0.1:1,SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,AAAAAAAAAAAAAAAAAAAAAA  6  6  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers list                                0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers known-hosts                         0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers show nosuch                         3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers test nosuch                         3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers follow nosuch                       3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers sync nosuch                         3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers remove nosuch --yes                 3  3  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
servers remove nosuch                       2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
doctor                                      .  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
backup verify nosuch                        2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
# Names: a rename within the namespace takes admin, out of it the owner and the right to create there
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
repo rename acme/private {new}              0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo rename acme/internal {new}             0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo rename un/private {new}                0  0  0  3  3  3  3  4  4  0  4  3  3  3  4  4  4  4  4
repo rename acme/private private            0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo rename acme/private internal           5  5  3  5  5  4  4  4  4  5  4  4  3  3  4  4  4  4  4
repo rename acme/private un/{new}           0  0  3  4  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo rename un/private acme/{new}           0  0  4  3  3  3  3  4  4  4  4  3  3  3  4  4  4  4  4
repo rename acme/private nowhere/{new}      3  3  3  3  4  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo rename acme/none {new}                 3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
repo archive acme/private                   0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo unarchive acme/internal                0  0  4  0  0  4  4  4  4  0  4  4  4  3  4  4  4  4  4
repo alias add Old/{new} acme/private       0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo alias add acme/{new} acme/private      0  0  3  0  0  4  4  4  4  4  4  4  3  3  4  4  4  4  4
repo alias add un/{new} acme/internal       0  0  4  4  4  4  4  4  4  4  4  4  4  3  4  4  4  4  4
repo alias add nowhere/{new} un/private     0  0  4  3  3  3  3  4  4  4  4  3  3  3  4  4  4  4  4
repo alias list acme/private                0  0  3  0  0  4  4  4  4  0  4  4  3  3  4  4  4  4  4
repo alias list                             0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
repo alias remove Old/none                  3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
org rename acme {new}                       0  0  4  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
org rename nowhere {new}                    3  3  3  3  3  3  3  3  3  3  3  3  3  3  4  4  4  4  4
user rename tgt {new}                       0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user offboard cap --yes                     0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user offboard tgt --yes                     5  5  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
user offboard cap                           2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2  2
# The server
#                                          op sa un ow ad me mx re wr ag go og st an di ex rv pe de
audit list                                  0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
audit verify                                0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
config get limits.idle                      0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
config list                                 0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
config set limits.idle 9m --dry-run         0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
config unset limits.idle --dry-run          0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
config path                                 0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
config validate                             0  0  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
serve                                       .  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4  4
whoami                                      0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
help                                        0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
list                                        0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
{nothing}                                   0  0  0  0  0  0  0  0  0  0  0  0  0  4  4  4  4  4  4
`;

const peoplesRows = read(grid, Object.keys(people) as Who[]);

/** Every command of the table, asked with a deploy key: none but those few is for it to run. */
const commandRows = [...new Set(peoplesRows.map(({ words }) => words))].flatMap((words) => {
  if (words.startsWith('git ') || keyCommands.includes(words)) return [];
  const nobodys = peoplesRows.every((row) => row.words !== words || row.answer === '2');
  return (['dw', 'dg'] as const).map((who) => ({ who, words, answer: nobodys ? '2' : '4' }));
});

/** The whole table, row after row. */
export const rows: readonly Row[] = [
  ...peoplesRows,
  ...read(keyGrid, Object.keys(deployKeys) as Who[]),
  ...commandRows,
];

function read(text: string, columns: readonly Who[]): readonly Row[] {
  return text.split('\n').flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [];
    const cells = line.trim().split(/\s+/).slice(-columns.length);
    const words = line.slice(0, -3 * cells.length).trim();
    return columns.flatMap((who, column) => {
      const answer = cells[column] ?? '';
      return answer === '.' ? [] : [{ who, words, answer }];
    });
  });
}
