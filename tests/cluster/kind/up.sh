#!/usr/bin/env bash
# kind with Istio and Seldon Core from their public charts, our images and our chart, in one command.
#
# NOT TESTED by the project: its machines have no Docker and reach no image registry. It needs docker, kind,
# helm and kubectl. Seldon Core 1.17.1 is the last release under Apache-2.0 (SELDON_VERSION overrides it; from
# 1.18 on its licence is BSL 1.1).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
HERE=tests/cluster/kind
SELDON_VERSION=${SELDON_VERSION:-1.17.1}
ISTIO_VERSION=${ISTIO_VERSION:-1.27.1}
TAG=${SERINUS_IMAGE_TAG:-cluster-tests}

for tool in docker kind helm kubectl; do
  command -v "$tool" >/dev/null || { echo "make kind: $tool is needed and not on the PATH" >&2; exit 1; }
done

kind get clusters | grep -qx serinus || kind create cluster --config "$HERE/cluster.yaml"
kubectl config use-context kind-serinus

istio=https://istio-release.storage.googleapis.com/charts
helm upgrade --install istio-base base --repo "$istio" --version "$ISTIO_VERSION" -n istio-system --create-namespace
helm upgrade --install istiod istiod --repo "$istio" --version "$ISTIO_VERSION" -n istio-system --wait
helm upgrade --install istio-ingressgateway gateway --repo "$istio" --version "$ISTIO_VERSION" -n istio-system \
  --set labels.istio=ingressgateway --set service.type=ClusterIP
kubectl apply -f "$HERE/gateway.yaml"

helm upgrade --install seldon-core seldon-core-operator --repo https://storage.googleapis.com/seldon-charts \
  --version "$SELDON_VERSION" -n seldon-system --create-namespace --wait \
  --set usageMetrics.enabled=false --set istio.enabled=true --set istio.gateway=istio-system/seldon-gateway

make images CONTAINER_TOOL=docker VERSION="$TAG"
docker build -t docker.io/serinus-tests/server:1 tests/cluster/server
for name in scorer drift controller pipeline; do kind load docker-image --name serinus "docker.io/serinus/$name:$TAG"; done
kind load docker-image --name serinus docker.io/serinus-tests/server:1

# It serves the namespace `default` alone: the tests bring a controller of their own for theirs.
helm upgrade --install serinus charts/serinus -n serinus-system --create-namespace --wait \
  -f manifests/overlays/kind/platform-values.yaml --set image.tag="$TAG" --set watchNamespaces='{default}' \
  --set retrain.enabled=false

cat <<SAY
The cluster is up, with the platform in serinus-system. A model is one more release in the namespace default:

    helm install fraud charts/serinus-model -f manifests/overlays/kind/model-values.yaml \
      --set image.tag=$TAG --set bundle.uri=... --set bundle.digest=...

The same tests as in CI, against Seldon's own operator:

    KUBECONFIG=~/.kube/config SERINUS_SELDON=real SERINUS_GATEWAY=127.0.0.1:8003 make test-cluster

To use it yourself: the platform, then a model of yours (docs/install.md says how).

    helm install serinus charts/serinus -n serinus-system --create-namespace --set image.tag=$TAG \\
      -f manifests/overlays/kind/platform-values.yaml

Remove it with: kind delete cluster --name serinus
SAY
