// What every page has. A page's own module is loaded by its template in the block "head".

import { setUpCopy } from "./copy.js";
import { setUpDialogs } from "./dialogs.js";
import { setUpFocus } from "./focus.js";
import { setUpForms } from "./forms.js";
import { setUpTheme } from "./theme.js";
import { setUpTimes } from "./times.js";
import { setUpToasts } from "./toast.js";
import { setUpTree } from "./tree.js";

setUpTheme();
setUpDialogs();
setUpCopy();
setUpToasts();
setUpFocus();
setUpForms();
setUpTimes();
setUpTree();
