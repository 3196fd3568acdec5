#!/bin/sh
# install.sh NODE LIB BIN SHARE PREFIX: copies the Node binary, the bundle, a wrapper and the shell completions.
# LIB, BIN and SHARE are where the files go (a package's staging folder perhaps), PREFIX where they will be run from.
set -eu
node=$1 lib=$2 bin=$3 share=$4 prefix=$5

rm -rf "$lib"
install -d "$lib" "$bin" "$share/bash-completion/completions" "$share/zsh/site-functions" \
  "$share/fish/vendor_completions.d"
install -m 755 "$node" "$lib/node"
cp -R dist "$lib/dist"
# What `make image` made lies beside the program.
rm -f "$lib"/dist/*.tar
install -m 644 LICENSE "$lib/LICENSE"

cat >"$bin/sandwarden" <<WRAPPER
#!/bin/sh
exec '$prefix/lib/sandwarden/node' '$prefix/lib/sandwarden/dist/sandwarden.js' "\$@"
WRAPPER
chmod 755 "$bin/sandwarden"
# kubectl takes what is called kubectl-NAME for a plugin: `kubectl sandwarden fleet`.
ln -sf sandwarden "$bin/kubectl-sandwarden"

"$node" dist/sandwarden.js completion bash >"$share/bash-completion/completions/sandwarden"
"$node" dist/sandwarden.js completion zsh >"$share/zsh/site-functions/_sandwarden"
"$node" dist/sandwarden.js completion fish >"$share/fish/vendor_completions.d/sandwarden.fish"
printf '%-8s %s\n' installed "$bin/sandwarden"
