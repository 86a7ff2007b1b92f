/** cpm's version, as in package.json. */
export const cpmVersion = '0.1.0';
