#!/usr/bin/env bash
# Builds what checking the charts needs and the PATH lacks, into .tools/charts; needs Go and nothing else.
# charts/tools.sh path   prints the PATH on which all of it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS=$PWD/.tools/charts
HELM=v3.19.5 KUBECONFORM=v0.7.0 UNITTEST=v1.0.3 OPERATOR=v0.85.0 ISTIO=v1.27.0
CLUSTER=${SERINUS_CLUSTER:-../shared/cluster/cluster}
# The test cluster has helm and kubectl already.
path=$TOOLS:$PATH
[ -x "$CLUSTER" ] && path=$TOOLS:$(bash -c "eval \"\$('$CLUSTER' env)\"; echo \"\$PATH\"")
export PATH=$path
[ "${1:-}" != path ] || { echo "$PATH"; exit 0; }

mkdir -p "$TOOLS"
export GOBIN=$TOOLS CGO_ENABLED=0
absent() { ! command -v "$1" >/dev/null; }
absent helm && { echo "building helm $HELM"; go install -ldflags "-s -w" "helm.sh/helm/v3/cmd/helm@$HELM"; }
absent kubeconform && { echo "building kubeconform $KUBECONFORM"; go install -ldflags "-s -w" "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM"; }
if absent helm-unittest; then
  # Its go.mod replaces a module, which `go install` refuses; a copy of its source is built instead.
  echo "building helm-unittest $UNITTEST"
  source=$(mktemp -d); trap 'rm -rf "$source"' EXIT
  cp -r "$(cd / && go mod download -json "github.com/helm-unittest/helm-unittest@$UNITTEST" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/." "$source"
  chmod -R u+w "$source"
  (cd "$source" && go build -ldflags "-s -w" -o "$TOOLS/helm-unittest" ./cmd/helm-unittest)
fi
# The Prometheus operator's own definitions, so that its objects are checked by what will read them.
if [ ! -d "$TOOLS/prometheus-operator" ]; then
  from=$(cd / && go mod download -json "github.com/prometheus-operator/prometheus-operator@$OPERATOR" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  mkdir -p "$TOOLS/prometheus-operator.new"
  for kind in podmonitors prometheusrules servicemonitors; do
    cp "$from/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" "$TOOLS/prometheus-operator.new/"
  done
  chmod -R u+w "$TOOLS/prometheus-operator.new"; mv "$TOOLS/prometheus-operator.new" "$TOOLS/prometheus-operator"
fi
# And Istio's, of its API alone.
if [ ! -f "$TOOLS/istio.yaml" ]; then
  from=$(cd / && go mod download -json "istio.io/api@$ISTIO" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp "$from/kubernetes/customresourcedefinitions.gen.yaml" "$TOOLS/istio.yaml.new"
  chmod u+w "$TOOLS/istio.yaml.new"; mv "$TOOLS/istio.yaml.new" "$TOOLS/istio.yaml"
fi
absent kubectl && { echo "charts: kubectl is needed and not on the PATH" >&2; exit 1; }
exit 0
