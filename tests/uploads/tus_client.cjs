// Upload one file with tus-js-client as anybody would: node tus_client.cjs URL TOKEN FILE METADATA-JSON OPTIONS-JSON
const fs = require("node:fs");
const { Upload } = require("tus-js-client");

const [endpoint, token, file, metadata, options] = process.argv.slice(2);
const { stopAfter, ...rest } = JSON.parse(options);
const upload = new Upload(fs.createReadStream(file), {
  endpoint,
  headers: { Authorization: `Bearer ${token}` },
  metadata: JSON.parse(metadata),
  uploadSize: fs.statSync(file).size,
  retryDelays: [0, 100, 500],
  ...rest,
  onChunkComplete(_size, accepted) {
    if (stopAfter && accepted >= stopAfter) upload.abort().then(() => console.log(upload.url));
  },
  onError(error) {
    console.error(String(error));
    process.exitCode = 1;
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.start();
