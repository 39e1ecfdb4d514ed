// Destination paths: the rules of the dataset tree, mirrored from the server so that a bad name is shown before anything is
// sent. The server checks again and has the last word.

export const MAX_PART_BYTES = 255;
export const MAX_PATH_BYTES = 4096;

// A whole path of harmless ASCII, as most are: parts of printable characters, none of them "." or "..".
const PLAIN = /^(?:(?!\.\.?(?:\/|$))[ -.0-[\]-~]+\/)*(?!\.\.?$)[ -.0-[\]-~]+$/u;

const encoder = new TextEncoder();
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/u;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** UTF-8 length of a string, in bytes. */
export function byteLength(text) {
  return encoder.encode(text).length;
}

/** Unicode NFC: macOS hands out decomposed names, and the tree keeps one spelling of each. */
export function normalise(path) {
  return path.normalize("NFC");
}

/** Why the tree would refuse this path, or "" when it is good. */
export function pathProblem(path) {
  if (path.length <= MAX_PART_BYTES && PLAIN.test(path)) return "";
  if (path === "") return "The path is empty.";
  if (LONE_SURROGATE.test(path)) return "The name is not valid Unicode.";
  if (path.includes("\\")) return "A name may not contain a backslash.";
  if (CONTROL.test(path)) return "A name may not contain control characters.";
  for (const part of path.split("/")) {
    if (part === "") return "A folder or file name is empty.";
    if (part === "." || part === "..") return `A name may not be “${part}”.`;
    // A UTF-16 unit is at most three bytes of UTF-8: most names need no encoding to be judged.
    if (part.length * 3 > MAX_PART_BYTES && byteLength(part) > MAX_PART_BYTES) {
      return `A name is longer than ${MAX_PART_BYTES} bytes.`;
    }
  }
  if (path.length * 3 > MAX_PATH_BYTES && byteLength(path) > MAX_PATH_BYTES) {
    return `The path is longer than ${MAX_PATH_BYTES} bytes.`;
  }
  return "";
}

/** Joins a typed destination folder and a path; stray slashes and spaces around the folder do no harm. */
export function joinPath(folder, path) {
  const clean = cleanFolder(folder);
  return clean === "" ? path : `${clean}/${path}`;
}

/** A destination folder as typed, without outer spaces and slashes. */
export function cleanFolder(folder) {
  return normalise(folder.trim().replace(/^\/+|\/+$/gu, ""));
}

/** The folder a path lies in; "" at the top. */
export function parentOf(path) {
  const cut = path.lastIndexOf("/");
  return cut === -1 ? "" : path.slice(0, cut);
}

/** The last part of a path. */
export function nameOf(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}
